/**
 * Programs to look into: started under each version of Node, brought into position, made into a
 * core
 * by our own dump, or read while they live.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestContext } from "node:test";
import { openV8, prepareV8 } from "../../../src/autopsy/v8/process.ts";
import type { PreparedV8, V8Process } from "../../../src/autopsy/v8/process.ts";
import { writeDump } from "../../../src/autopsy/target/dump.ts";
import { openTarget } from "../../../src/autopsy/target/open.ts";
import type { Target } from "../../../src/autopsy/target/target.ts";
import { PtraceTracer } from "../../../src/os/mod.ts";

const ROOT = path.resolve(import.meta.dirname, "../../..");
const DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 20;

/** The versions of Node that autopsy reads, by major, and where each is. */
export const NODES: ReadonlyMap<number, string> = new Map([
  [22, path.join(ROOT, "node_modules/node22/bin/node")],
  [24, path.join(ROOT, "node_modules/node/bin/node")],
  [26, path.join(ROOT, "node_modules/node26/bin/node")],
]);

export interface Patient {
  readonly child: ChildProcess;
  readonly pid: number;
  /** A folder of its own, removed after the test. */
  readonly folder: string;
  /** What the program has printed so far. */
  readonly output: () => string;
}

/** Where a test program of autopsy is. */
export function program(name: string): string {
  return path.join(ROOT, "test/apps/autopsy", name);
}

/** Waits for a condition, with a deadline. @throws Error when it does not hold in time. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const endsAt = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** Starts a program; it is killed and its folder removed when the test ends. */
export function startPatient(
  t: Pick<TestContext, "after">,
  major: number,
  args: readonly string[] | ((folder: string) => readonly string[]),
): Patient {
  const node = NODES.get(major);
  if (node === undefined) throw new Error(`no Node ${major} here`);
  const folder = mkdtempSync(path.join(tmpdir(), "autopsy-"));
  const given = typeof args === "function" ? args(folder) : args;
  const child = spawn(node, given, { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
  }
  t.after(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  if (child.pid === undefined) throw new Error(`cannot start ${node}`);
  return { child, pid: child.pid, folder, output: () => text };
}

/** Waits until the program is in position: it has printed this line, or written this file. */
export async function inPosition(
  { child, output }: Patient,
  sign: { readonly line?: string; readonly file?: string },
): Promise<void> {
  const { line, file } = sign;
  await until(`the program says ${line ?? file ?? ""}:\n${output()}`, () => {
    if (child.exitCode !== null) throw new Error(`it has ended:\n${output()}`);
    if (line !== undefined) return output().includes(line);
    return file !== undefined && existsSync(file) && isJson(file);
  });
}

function isJson(file: string): boolean {
  try {
    JSON.parse(readFileSync(file, "utf8"));
    return true;
  } catch {
    return false; // half written: look again
  }
}

const prepared = new Map<string, PreparedV8>();

/** What takes longest needs only the binary: it is read once for each. */
function opened(target: Target): V8Process {
  const { path: binary } = target.executable;
  const known = prepared.get(binary) ?? prepareV8(target.executable);
  prepared.set(binary, known);
  return openV8(target, known);
}

/** Opens the live process, and lets it run on after `look`. */
export function lookLive<Result>(
  pid: number,
  look: (v8: V8Process, target: Target) => Result,
  { isTraced = true }: { readonly isTraced?: boolean } = {},
): Result {
  const target = openTarget(pid, { tracer: isTraced ? new PtraceTracer() : null });
  try {
    return look(opened(target), target);
  } finally {
    target.close();
  }
}

/** Makes a core of the process with our own dump. */
export function makeCore(
  { pid, folder }: Pick<Patient, "pid" | "folder">,
  file = path.join(folder, `core.${pid}`),
): string {
  const target = openTarget(pid, { tracer: new PtraceTracer() });
  try {
    writeDump(target, file);
  } finally {
    target.close();
  }
  return file;
}

/** Opens a core and closes it after `look`. */
export function lookAtCore<Result>(
  file: string,
  look: (v8: V8Process, target: Target) => Result,
): Result {
  const target = openTarget(file);
  try {
    return look(opened(target), target);
  } finally {
    target.close();
  }
}
