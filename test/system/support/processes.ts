/**
 * The processes of one test, found by a mark in their environment, so that a test can say that
 * nothing of its service is left, whoever started it, and can end what is left by pid.
 * Linux only, like the tests that use it: it reads /proc.
 */
import { readFileSync, readdirSync } from "node:fs";

/** Name of the environment variable that carries the mark of a test's processes. */
export const MARK_VARIABLE = "HOLDFAST_TEST_MARK";

/** Pids of all living processes that carry this mark; zombies have no environment any more. */
export function markedPids(mark: string): number[] {
  const entry = `${MARK_VARIABLE}=${mark}`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && environmentOf(pid).includes(entry));
}

/** Sends a signal; a process that is gone already is no error. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** True while the process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  return processState(pid) !== undefined && processState(pid) !== "Z";
}

/** One letter of proc_pid_stat(5): R, S, D, Z, T ...; `undefined` when there is no such process. */
export function processState(pid: number): string | undefined {
  const stat = readProc(pid, "stat");
  return stat.slice(stat.lastIndexOf(")") + 2)[0];
}

/** Start of the process in clock ticks since boot: tells a pid from the same number used again. */
export function startTicks(pid: number): number | undefined {
  const stat = readProc(pid, "stat");
  const field = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return field === undefined ? undefined : Number(field);
}

/** One line that says what a process is, for the message of a failed test. */
export function describeProcess(pid: number): string {
  const command = readProc(pid, "cmdline").replaceAll("\0", " ").trim();
  return `${pid} (${processState(pid) ?? "gone"}) ${command}`;
}

function environmentOf(pid: number): string[] {
  return readProc(pid, "environ").split("\0");
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // It ended between the listing and the read.
  }
}
