/**
 * The processes of a contender, what they have used and how to end them. Linux: it reads /proc.
 *
 * A contender's processes are those that we started, those that carry a mark in their environment,
 * and their descendants. Only such processes are ever sent a signal.
 */
import { readFileSync, readdirSync } from "node:fs";

/** Name of the environment variable that carries the mark. */
export const MARK_VARIABLE = "HOLDFAST_BENCH_MARK";

/** Memory of one process, in bytes, by `smaps_rollup` of proc_pid_smaps(5). */
export interface ProcessMemory {
  readonly pss: number;
  readonly rss: number;
}

/** Pids of all living processes that carry this mark. */
export function markedProcesses(mark: string): number[] {
  const entry = `${MARK_VARIABLE}=${mark}`;
  return allPids().filter(
    (pid) => pid !== process.pid && read(pid, "environ").split("\0").includes(entry),
  );
}

/** These processes and all their descendants. */
export function familyOf(roots: readonly number[]): number[] {
  const parents = new Map(allPids().map((pid) => [pid, parentOf(pid)]));
  const family = new Set(roots);
  for (let size = -1; size !== family.size;) {
    size = family.size;
    for (const [pid, parent] of parents) if (family.has(parent)) family.add(pid);
  }
  return [...family].filter((pid) => parents.has(pid));
}

/** Pids of the direct children of a process. */
export function childrenOf(parent: number): number[] {
  return allPids().filter((pid) => parentOf(pid) === parent);
}

/** True while the process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  const state = statFields(pid)[0];
  return state !== undefined && state !== "Z" && state !== "X";
}

/** The command line of a process; empty when it is gone. */
export function commandOf(pid: number): string {
  return read(pid, "cmdline").replaceAll("\0", " ").trim();
}

/** Sends a signal; a process that is gone already is no error. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // kill(2) sets a code
  }
}

/**
 * Time on a CPU, user and system, of all threads of these processes, in nanoseconds.
 * First field of `/proc/PID/task/TID/schedstat` (Documentation/scheduler/sched-stats.rst).
 */
export function cpuNanoseconds(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids) {
    for (const thread of list(`/proc/${pid}/task`)) {
      total += Number(read(pid, `task/${thread}/schedstat`).split(" ")[0] ?? 0);
    }
  }
  return total;
}

/** What a process holds in memory now. */
export function processMemory(pid: number): ProcessMemory {
  const rollup = read(pid, "smaps_rollup");
  const field = (name: string): number => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup);
    if (match === null) throw new Error(`process ${pid} has no ${name} in smaps_rollup`);
    return Number(match[1]) * 1024;
  };
  return { pss: field("Pss"), rss: field("Rss") };
}

function parentOf(pid: number): number {
  return Number(statFields(pid)[1] ?? 0);
}

/** Fields of proc_pid_stat(5) behind the command's name: state, parent, ... */
function statFields(pid: number): string[] {
  const stat = read(pid, "stat");
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function allPids(): number[] {
  return list("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // The process ended between two looks.
  }
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // It ended between the listing and the read.
  }
}
