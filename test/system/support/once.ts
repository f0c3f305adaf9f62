/** `holdfast run` of something that ends by itself. */
import { rmSync } from "node:fs";
import path from "node:path";
import { CLI, nodeBinary } from "./paths.ts";
import type { NodeVersion } from "./paths.ts";
import { MARK_VARIABLE, describeProcess, kill, markedPids } from "./processes.ts";
import { run } from "./run.ts";
import type { RunOptions, RunResult } from "./run.ts";
import { makeRuntimeDir } from "./service.ts";
import { waitFor } from "./wait.ts";

export interface OnceOptions extends RunOptions {
  readonly args?: readonly string[];
  readonly flags?: readonly string[];
  readonly node?: NodeVersion;
  /** Default: a fresh one, removed at the end. */
  readonly runtimeDir?: string;
}

let count = 0;

/** Runs a command of the CLI to its end, and fails if it leaves a process behind. */
export async function holdfast(
  args: readonly string[],
  options: Omit<OnceOptions, "args" | "flags"> = {},
): Promise<RunResult> {
  const runtimeDir = options.runtimeDir ?? makeRuntimeDir();
  count += 1;
  const mark = `${process.pid}.once.${count}`;
  const own = { HOLDFAST_RUNTIME_DIR: runtimeDir, [MARK_VARIABLE]: mark };
  const env = { ...options.env, ...own };
  try {
    const result = await run(nodeBinary(options.node), ["--", CLI, ...args], { ...options, env });
    await waitFor(
      "no process left",
      () => markedPids(mark).length === 0,
      5_000,
      () => markedPids(mark).map(describeProcess).join("\n"),
    );
    return result;
  } finally {
    for (const pid of markedPids(mark)) kill(pid, "SIGKILL");
    if (options.runtimeDir === undefined) rmSync(runtimeDir, { recursive: true, force: true });
  }
}

/** Runs an entry under `holdfast run` to its end. */
export function runOnce(entry: string, options: OnceOptions = {}): Promise<RunResult> {
  const name = `once-${path.basename(entry).replaceAll(".", "-")}`;
  const flags = ["--workers", "2", "--name", name, ...(options.flags ?? [])];
  const rest = options.args === undefined ? [] : ["--", ...options.args];
  return holdfast(["run", ...flags, entry, ...rest], options);
}

/** Runs the same entry under plain node. */
export function runPlain(entry: string, options: OnceOptions = {}): Promise<RunResult> {
  return run(nodeBinary(options.node), [entry, ...(options.args ?? [])], options);
}

/** A frame of Node's own that depends on whether anything else was ever waited for. */
const NODE_TICK = /^ {4}at process\.processTicksAndRejections \(node:internal/;

/**
 * Node's own, at process.exit(), once the worker's stack was looked at: on a slow machine one that
 * makes no progress for half a second (see src/worker/README.md).
 */
const DEBUGGER_WAIT = "Waiting for the debugger to disconnect...";

/** Standard error without our own lines and without pids, to compare with plain node's. */
export function comparableStderr(result: RunResult): string {
  return result.stderr
    .toString()
    .split("\n")
    .filter((line) => !line.startsWith("holdfast: ") && line !== DEBUGGER_WAIT)
    .filter((line) => !NODE_TICK.test(line))
    .join("\n")
    .replaceAll(/\(node:\d+\)/g, "(node:PID)");
}
