/** Stops a process: every thread, with its registers, until it is let go. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import type { ForkRanges } from "./fork-ranges.ts";
import { nameOfFailure } from "./live-failures.ts";
import { registersFrom } from "./machine.ts";
import type { Machine, Registers } from "./machine.ts";
import type { Run } from "./page-runs.ts";
import type { SocketTimes, TargetThread } from "./target.ts";

/** A stop takes microseconds for each thread; a thread in an uninterruptible sleep takes longer. */
const STOP_PATIENCE_MS = 5_000;

/** Stops a process and reads registers: `os` has one, over ptrace(2). */
export interface Tracer {
  /**
   * Stops every thread; gives the words of `user_regs_struct` by thread id.
   * @throws an error with `errno` EPERM or ESRCH.
   */
  seize(pid: number): ReadonlyMap<number, Buffer>;
  /** Lets them run on; may be called twice. */
  release(): void;
  /**
   * Fills `into` with parts [start, end) of its memory, one behind the other, as far as they are
   * there; how many bytes.
   */
  readMemory?(pid: number, parts: readonly Run[], into: Buffer): number;
  /**
   * Makes a copy of the process that it holds still, which shares its memory until one of them
   * writes to it, and never runs.
   *
   * @param ranges what it keeps from its children
   * @throws an error with `errno` and `syscall`; then there is none
   */
  fork?(pid: number, ranges: ForkRanges): Fork;
  /** Why no such copy can be made, as far as that is known before; null: it can. */
  forkRefusal?(pid: number): string | null;
  /** When data last went over those of its descriptors that are TCP connections. */
  socketTimes?(pid: number, descriptors: Iterable<number>): ReadonlyMap<number, SocketTimes>;
  /** Whatever can be done before the stop; may be called twice. */
  prepare?(): void;
}

/** A copy of a process that never runs. */
export interface Fork {
  readonly pid: number;
  /** May be called twice. */
  end(): void;
}

export interface Hold {
  readonly threads: readonly TargetThread[];
  readonly remarks: readonly string[];
  release(): void;
}

export function holdStill(pid: number, machine: Machine, tracer: Tracer | null): Hold {
  if (tracer !== null) {
    const registers = tracer.seize(pid);
    const threads = [...registers].map(([tid, words]) => ({
      tid,
      name: null,
      registers: registersFrom(machine, words),
    }));
    return { threads: mainFirst(pid, threads), remarks: [], release: () => tracer.release() };
  }
  return holdBySignal(pid, machine);
}

function holdBySignal(pid: number, machine: Machine): Hold {
  const wasStopped = stateOf(pid, pid) === "T";
  const guard = wasStopped ? null : startGuard(pid);
  const release = (): void => {
    if (wasStopped) return;
    try {
      process.kill(pid, "SIGCONT");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it has gone: well
    } finally {
      guard?.stdin?.end("done\n");
    }
  };
  try {
    process.kill(pid, "SIGSTOP");
    const deadline = performance.now() + STOP_PATIENCE_MS;
    const tids = threadIds(pid);
    while (!tids.every((tid) => "TtZX".includes(stateOf(pid, tid)))) {
      if (performance.now() > deadline) break; // a thread in the kernel: it does not move either
    }
    const threads = tids.map((tid) => ({
      tid,
      name: null,
      registers: partialRegisters(machine, pid, tid),
    }));
    const remarks = ["without ptrace: of each thread only pc and sp are known"];
    return { threads: mainFirst(pid, threads), remarks, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Continues the process when this one has died: then its input ends without a word. */
function startGuard(pid: number): ChildProcess {
  const guard = spawn("/bin/sh", ["-c", `read word; test -n "$word" || kill -CONT ${pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.unref();
  guard.on("error", () => undefined); // no shell: then a death of ours leaves the process stopped
  return guard;
}

/** `/proc/PID/task/TID/syscall`: number, six arguments, sp, pc; `running` while it runs. */
function partialRegisters(machine: Machine, pid: number, tid: number): Registers | null {
  const words = readFileSync(`/proc/${pid}/task/${tid}/syscall`, "latin1").trim().split(" ");
  const [sp, pc] = words.slice(-2).map(Number);
  if (words.length < 3 || sp === undefined || pc === undefined || !(sp > 0)) return null;
  const byName = new Map([
    [machine.sp, sp],
    [machine.pc, pc],
  ]);
  return { pc, sp, fp: null, byName, words: null };
}

function mainFirst(pid: number, threads: readonly TargetThread[]): TargetThread[] {
  return threads.toSorted((a, b) => Number(b.tid === pid) - Number(a.tid === pid) || a.tid - b.tid);
}

function threadIds(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number);
}

/** A thread that has ended since keeps its name to itself. */
export function named(pid: number, threads: readonly TargetThread[]): readonly TargetThread[] {
  return threads.map((thread) => {
    try {
      return { ...thread, name: threadName(pid, thread.tid) };
    } catch (error) {
      const code = nameOfFailure(error);
      if (code === "ENOENT" || code === "ESRCH") return thread;
      throw error;
    }
  });
}

function threadName(pid: number, tid: number): string {
  return readFileSync(`/proc/${pid}/task/${tid}/comm`, "utf8").trimEnd();
}

/** `R`, `S`, `T`...: the field behind the name, which may have spaces and parentheses itself. */
export function stateOf(pid: number, tid: number): string {
  const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, "latin1");
  return stat[stat.lastIndexOf(")") + 2] ?? "?";
}
