/**
 * Which threads of libuv's pool work, from /proc: a thread that waits for work does so in futex(2)
 * (uv_cond_wait, src/threadpool.c), one that works is anywhere else. The kernel shows a process the
 * system calls of its own threads without any privilege. Costs some 10 us a thread.
 */
import { readFileSync, readdirSync } from "./platform.ts";

export interface PoolThreads {
  /** -1: this is no Linux, or /proc is hidden. */
  readonly busy: number;
  readonly threads: number;
}

/** What libuv calls them since 1.50; before (Node 22.12) they have the name of the process. */
const NAME = "libuv-worker";
/** Number of futex(2) (asm/unistd.h of x86-64, and of arm64 as of all later ports). */
const FUTEX: string = process.arch === "x64" ? "202 " : "98 ";
const UNKNOWN: PoolThreads = { busy: -1, threads: -1 };

/** See the file's docstring. */
export function poolThreads(folder = "/proc/self/task"): PoolThreads {
  let [busy, threads] = [0, 0];
  try {
    for (const thread of readdirSync(folder)) {
      if (textOf(`${folder}/${thread}/comm`).trim() !== NAME) continue;
      threads += 1;
      if (!textOf(`${folder}/${thread}/syscall`).startsWith(FUTEX)) busy += 1;
    }
  } catch {
    return UNKNOWN; // no /proc, or one that hides this: then nobody knows
  }
  return { busy, threads };
}

function textOf(path: string): string {
  return readFileSync(path, "utf8");
}
