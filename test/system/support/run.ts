/** Runs a program to its end and captures what it wrote: for verbs and for comparisons. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { DEADLINE_MS, DeadlineError } from "./wait.ts";

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Bytes for standard input, which is closed after them. */
  readonly stdin?: string;
  readonly deadlineMs?: number;
  /** Give it files for standard output and error, as a shell's `>` does, instead of pipes. */
  readonly toFiles?: boolean;
}

export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** Starts `program` and waits until it has ended and its output is complete. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  if (options.toFiles !== true) return start(program, args, options, ["pipe", "pipe"]);
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-run-"));
  const files = ["stdout", "stderr"].map((name) => path.join(folder, name));
  const descriptors = files.map((file) => openSync(file, "w"));
  try {
    const result = await start(program, args, options, descriptors);
    const [stdout = Buffer.alloc(0), stderr = Buffer.alloc(0)] = files.map((f) => readFileSync(f));
    return { ...result, stdout, stderr };
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
    rmSync(folder, { recursive: true, force: true });
  }
}

function start(
  program: string,
  args: readonly string[],
  options: RunOptions,
  output: readonly ("pipe" | number)[],
): Promise<RunResult> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: cleanEnvironment(options.env),
    stdio: ["pipe", ...output],
  });
  child.stdin?.on("error", () => {}); // It may end without reading: its exit is what counts.
  child.stdin?.end(options.stdin ?? "");
  return new Promise((resolve, reject) => {
    const stdout = collect(child, "stdout");
    const stderr = collect(child, "stderr");
    const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      const output = Buffer.concat([...stdout, ...stderr]).toString();
      const command = [program, ...args].join(" ");
      reject(new DeadlineError(`not ended within ${deadlineMs} ms: ${command}\n${output}`));
    }, deadlineMs);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) });
    });
  });
}

/**
 * The environment that children of a test get: ours without what the test runner and npm put
 * there, so that a program under test behaves as it does in a shell.
 */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (/^(npm_|NODE_|HOLDFAST_|XDG_RUNTIME_DIR$|FORCE_COLOR$)/i.test(name)) continue;
    env[name] = value;
  }
  return { ...env, ...extra };
}

function collect(child: ChildProcess, name: "stdout" | "stderr"): Buffer[] {
  const chunks: Buffer[] = [];
  child[name]?.on("data", (chunk: Buffer) => chunks.push(chunk));
  return chunks;
}
