/**
 * What the kernel says about processes, from /proc (proc(5), proc_pid_stat(5)): memory, CPU time,
 * children. Every reader answers null for a process that has ended.
 */
import { readFileSync, readdirSync } from "node:fs";

/** The unit of CPU times in /proc: USER_HZ is 100 in the ABI of every Linux (asm/param.h). */
const TICK_MS = 10;

export interface ProcessStat {
  /** `R`, `S`, `Z` (zombie), ... */
  readonly state: string;
  readonly parentPid: number;
  /** User and system time of all its threads, in milliseconds, 10 at a time. */
  readonly cpuMs: number;
  /** Tells apart two processes that had the same pid: ticks since boot. */
  readonly startTicks: number;
}

export interface ProcessMemory {
  /** Everything in memory, pages that it shares with other processes included. */
  readonly rssBytes: number;
  /** What would be free again without the process: heaps, stacks. */
  readonly anonBytes: number;
}

/** The text of a file in /proc, or null when there is no such process. */
function readProc(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES") return null;
    throw error;
  }
}

/** State, parent and CPU time of a process. */
export function readProcessStat(pid: number): ProcessStat | null {
  const text = readProc(`/proc/${pid}/stat`);
  return text === null ? null : parseProcessStat(text);
}

/** The main thread of a process. */
export interface MainThreadStat {
  readonly state: string;
  /** User and system time, in milliseconds, 10 at a time. */
  readonly cpuMs: number;
  /** For how long it could have run and had no CPU; null: this kernel does not tell. */
  readonly runDelayMs: number | null;
}

/** The main thread of a process, which has the number of its process. */
export function readMainThread(pid: number): MainThreadStat | null {
  const text = readProc(`/proc/${pid}/task/${pid}/stat`);
  const stat = text === null ? null : parseProcessStat(text);
  if (stat === null) return null;
  // Documentation/scheduler/sched-stats.rst: time on the CPU, time on a run queue, in nanoseconds
  const schedule = readProc(`/proc/${pid}/task/${pid}/schedstat`);
  const delayNs = schedule === null ? NaN : Number(schedule.split(" ")[1]);
  const { state, cpuMs } = stat;
  return { state, cpuMs, runDelayMs: Number.isFinite(delayNs) ? delayNs / 1e6 : null };
}

/** Parses /proc/pid/stat. The name in parentheses may itself contain anything. */
export function parseProcessStat(text: string): ProcessStat | null {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state = "", parentPid] = fields;
  // Fields 14, 15 and 22 of the manual; the first here is field 3.
  const numbers = [parentPid, fields[11], fields[12], fields[19]].map(Number);
  const [parent = NaN, user = NaN, system = NaN, startTicks = NaN] = numbers;
  if (!/^[A-Za-z]$/.test(state) || !numbers.every(Number.isSafeInteger)) return null;
  return { state, parentPid: parent, cpuMs: (user + system) * TICK_MS, startTicks };
}

/** Memory of a process. */
export function readProcessMemory(pid: number): ProcessMemory | null {
  const text = readProc(`/proc/${pid}/status`);
  return text === null ? null : parseProcessMemory(text);
}

/** Parses /proc/pid/status; a zombie has no memory and gives null. */
export function parseProcessMemory(text: string): ProcessMemory | null {
  const rss = /^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1];
  const anon = /^RssAnon:\s+(\d+) kB$/m.exec(text)?.[1];
  if (rss === undefined || anon === undefined) return null;
  return { rssBytes: Number(rss) * 1024, anonBytes: Number(anon) * 1024 };
}

/** Pids of the children of a process, orphans that it adopted included; empty when it has ended. */
export function readChildren(pid: number): readonly number[] {
  return readThreads(pid).flatMap((thread) => {
    const text = readProc(`/proc/${pid}/task/${thread}/children`) ?? "";
    return text
      .split(" ")
      .filter((part) => part !== "")
      .map(Number);
  });
}

/** Thread ids of a process; empty when it has ended. */
export function readThreads(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException; // of node:fs
    if (code === "ENOENT" || code === "ESRCH") return [];
    throw error;
  }
}

/** CPU and memory of a set of processes, as of the last time somebody looked. */
export interface ProcessUsage extends ProcessMemory {
  /** Of one CPU, since the look before; 100 is one CPU all the time. */
  readonly cpuPercent: number;
}

/** Looks at processes from time to time and keeps what it saw. */
export class ProcessMeter {
  readonly #seen = new Map<
    number,
    ProcessUsage & { readonly cpuMs: number; readonly at: number }
  >();

  /** Looks at these processes, and forgets all others. `nowMs` is monotonic. */
  update(pids: readonly number[], nowMs: number): void {
    for (const pid of this.#seen.keys()) if (!pids.includes(pid)) this.#seen.delete(pid);
    for (const pid of pids) {
      const stat = readProcessStat(pid);
      const memory = readProcessMemory(pid);
      if (stat === null || memory === null) {
        this.#seen.delete(pid);
        continue;
      }
      const before = this.#seen.get(pid);
      const elapsedMs = before === undefined ? 0 : nowMs - before.at;
      const usedMs = before === undefined ? 0 : Math.max(0, stat.cpuMs - before.cpuMs);
      const cpuPercent = elapsedMs > 0 ? Math.round((1000 * usedMs) / elapsedMs) / 10 : 0;
      this.#seen.set(pid, { ...memory, cpuPercent, cpuMs: stat.cpuMs, at: nowMs });
    }
  }

  /** What was seen of a process; null when it was not looked at, or has ended. */
  of(pid: number): ProcessUsage | null {
    return this.#seen.get(pid) ?? null;
  }
}
