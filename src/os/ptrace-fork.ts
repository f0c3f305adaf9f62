/**
 * A copy of a process that stands still: fork(2), made by one of its own threads. Pages are shared
 * until one of the two writes to them, so that it takes 60 to 130 ms a gigabyte where a copy of
 * the bytes takes half a second. The copy never runs: it is there to be read.
 *
 * ```
 *   process, all threads stand still
 *      | madvise()        or V8's heap would not be in the copy
 *      | clone(no flags)  one thread; its stack is no memory: if it ran it would end at once
 *      v
 *   copy: PTRACE_O_EXITKILL            it dies with us
 *         close_range(0, ~0)           or what the process closes would stay open
 *         oom_score_adj 1000           where memory runs out, it goes first
 *   process runs on  ............  copy is read  ............  SIGKILL, wait4() by the process
 * ```
 * The last step stops one thread of the process for less than a millisecond. When we are killed
 * before it, an entry without memory stays in the process table until the process ends.
 */
import { writeFileSync } from "node:fs";
import { once } from "../base/mod.ts";
import { libc } from "./libc.ts";
import { readThreads } from "./proc.ts";
import { awaitStop, callIn, callInCopy, isIdle } from "./ptrace-call.ts";
import { traceCopy, traceStarts, withoutEnding } from "./ptrace-call.ts";
import type { CallPlace } from "./ptrace-call.ts";
import { hasEnded, letGo, pause, registersOf, seizeThread, textOf } from "./ptrace-thread.ts";
import { EACCES, EAGAIN, EPERM, ESRCH, SystemCallError } from "./system-call-error.ts";

const PTRACE_INTERRUPT = 0x4207;
const PTRACE_EVENT_STOP = 128;
/** Numbers of system calls (x86-64). */
const [MADVISE, CLONE, WAIT4, CLOSE_RANGE] = [28, 56, 61, 436];
const [MADV_DONTFORK, MADV_DOFORK] = [10, 11];
/** Of a range of which some is not mapped; the rest is advised all the same. */
const ENOMEM = 12;
/** futex(2), as `/proc/PID/task/TID/syscall` has it: the thread waits for others. */
const FUTEX = /^202 /u;
const WALL = 0x4000_0000;
/** Not null, or the copy would get the stack of the process; no program has memory there. */
const NO_STACK = 4096;
const ALL_DESCRIPTORS = 0xffff_ffff;
const SIGKILL = 9;
/** A thread that waits for others is soon found. */
const REAP_PATIENCE_MS = 1_000;
const CAP_SYS_ADMIN = 1n << 21n;

/** Addresses [start, end). */
type Range = readonly [start: number, end: number];

/** Memory that the process keeps from its children, and that the copy must have. */
export interface ForkRanges {
  /** Nothing else lies in it. */
  readonly given: readonly Range[];
  /** What is kept from children again afterwards. */
  readonly takenBack: readonly Range[];
}

/** A process that never runs. */
export interface ForkedProcess {
  readonly pid: number;
  /** Signals that a thread of the process has not got yet, by thread. */
  readonly signals: ReadonlyMap<number, readonly number[]>;
  /** Ends it; may be called twice. */
  end(): void;
}

/** Why no such copy can be made; null: it can, as far as is known before it is tried. */
export function forkRefusal(pid: number, place: CallPlace | null): string | null {
  if (place === null) return "it takes x86-64 and a C library as usual";
  // what is filtered otherwise than for us may be answered with death
  const isAllowed = areFiltersOurs(pid) || hasAllRights();
  return isAllowed ? null : "its system calls are filtered (seccomp)";
}

/**
 * Makes the copy.
 *
 * @param threads those of the process, all of which stand still and have no signal on its way, by
 *   their registers
 * @throws SystemCallError of the call that the kernel refused; EAGAIN too when no thread of the
 *   process is idle. Then no copy is there.
 */
export function forkStopped(
  pid: number,
  threads: ReadonlyMap<number, Buffer>,
  place: CallPlace,
  ranges: ForkRanges,
): ForkedProcess {
  const tid = [...threads].find(([, words]) => isIdle(words))?.[0];
  if (tid === undefined) throw refused("clone", EAGAIN, pid);
  return withoutEnding(() => {
    const isUnfiltered = traceStarts(tid);
    if (!isUnfiltered && !areFiltersOurs(pid)) throw refused("clone", EPERM, pid);
    const late = advise(tid, place, ranges.given, MADV_DOFORK);
    const { value, started, signals } = callIn(tid, place, CLONE, [0, NO_STACK]);
    late.push(...signals, ...advise(tid, place, ranges.takenBack, MADV_DONTFORK));
    if (started === null) throw refused("clone", -value, pid);
    try {
      awaitStop(started);
      traceCopy(started, isUnfiltered);
      settle(pid, place, started);
    } catch (error) {
      kill(started);
      callIn(tid, place, WAIT4, [value, 0, WALL]);
      // not the process has gone, but its copy
      const isGone = error instanceof SystemCallError && error.errno === ESRCH;
      throw isGone ? refused("clone", EAGAIN, pid) : error;
    }
    return {
      pid: started,
      signals: new Map([[tid, late]]),
      end: once(() => {
        kill(started);
        withoutEnding(() => reap(pid, place, value));
      }),
    };
  });
}

/** @returns signals that arrived meanwhile */
function advise(tid: number, place: CallPlace, ranges: readonly Range[], advice: number): number[] {
  return ranges.flatMap(([start, end]) => {
    const { value, signals } = callIn(tid, place, MADVISE, [start, end - start, advice]);
    if (value < 0 && value !== -ENOMEM)
      throw new SystemCallError("madvise", -value, `thread ${tid}`);
    return signals;
  });
}

/** What the copy must have, and must not, before the process runs on. */
function settle(pid: number, place: CallPlace, copy: number): void {
  const { value } = callInCopy(copy, place, CLOSE_RANGE, [0, ALL_DESCRIPTORS]);
  if (value < 0) throw refused("close_range", -value, pid);
  try {
    writeFileSync(`/proc/${copy}/oom_score_adj`, "1000");
  } catch {
    throw refused("oom_score_adj", EACCES, pid); // /proc cannot be written here
  }
}

function kill(copy: number): void {
  libc().kill(copy, SIGKILL);
  while (!hasEnded(copy)) pause();
}

/**
 * The process takes note of the end of the copy, which nobody else could.
 * @param copy its process id as the process knows it: it may live in another namespace
 */
function reap(pid: number, place: CallPlace, copy: number): void {
  try {
    const deadline = performance.now() + REAP_PATIENCE_MS;
    do {
      for (const tid of threadsIn(FUTEX, pid)) if (reapIn(pid, tid, place, copy)) return;
      pause();
    } while (performance.now() < deadline);
  } catch (error) {
    // ESRCH: it has ended. EPERM: somebody else traces it now; an entry in the process table stays
    const errno = error instanceof SystemCallError ? error.errno : 0;
    if (errno !== ESRCH && errno !== EPERM) throw error;
  }
}

/** False: that thread has something else to do. */
function reapIn(pid: number, tid: number, place: CallPlace, copy: number): boolean {
  if (!seizeThread(pid, tid)) return false; // it has just ended
  libc().ptraceNumber(PTRACE_INTERRUPT, tid, 0, 0);
  const status = awaitStop(tid);
  const isFree = status >>> 16 === PTRACE_EVENT_STOP && isIdle(registersOf(tid));
  if (!isFree) {
    letGo(tid, status >>> 16 === PTRACE_EVENT_STOP ? 0 : (status >>> 8) & 0xff);
    return false;
  }
  traceStarts(tid);
  const [first = 0, ...others] = callIn(tid, place, WAIT4, [copy, 0, WALL]).signals;
  letGo(tid, first);
  for (const signal of others) libc().kill(pid, signal);
  return true;
}

/** Threads that are in a system call. */
function threadsIn(call: RegExp, pid: number): number[] {
  return readThreads(pid).filter((tid) => call.test(textOf(pid, `task/${tid}/syscall`)));
}

/** Whether its calls are filtered not at all, or as ours are: by the same container. */
function areFiltersOurs(pid: number): boolean {
  const filters = (id: number): string =>
    textOf(id, "status")
      .match(/^Seccomp(?:_filters)?:.*$/gmu)
      ?.join() ?? "";
  const theirs = filters(pid);
  return /^Seccomp:\s*0\b/u.test(theirs) || theirs === filters(process.pid);
}

function hasAllRights(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/mu.exec(textOf(process.pid, "status"))?.[1] ?? "0";
  return (BigInt(`0x${effective}`) & CAP_SYS_ADMIN) !== 0n;
}

function refused(call: string, errno: number, pid: number): SystemCallError {
  return new SystemCallError(call, errno, subject(pid));
}

function subject(pid: number): string {
  return `process ${pid}`;
}
