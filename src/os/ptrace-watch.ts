/**
 * Watches processes for the moment before they die: every thread is traced (ptrace(2),
 * PTRACE_SEIZE), which costs nothing until it gets a signal; then it stops until it is told to go
 * on.
 *
 * ```
 *   runs --a signal comes--> stopped, reported --resume(signal)--> the signal takes effect
 *    |                                         --resume(0)-------> it never came
 *    +--SIGSTOP------------> stopped, reported --listen----------> stays so until SIGCONT
 *    +--hold---------------> every thread is stopped; its registers
 * ```
 * The kernel tells the parent of a traced process of its end only after the tracer has been told,
 * so the owner asks for `events()` at every SIGCHLD and never blocks.
 */
import { readFileSync } from "node:fs";
import { libc, stableBuffer } from "./libc.ts";
import { readThreads } from "./proc.ts";
import { letGo, registers, threadsOf } from "./ptrace-thread.ts";
import { SystemCallError } from "./system-call-error.ts";

const PTRACE_CONT = 7;
const PTRACE_GETSIGINFO = 0x4202;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_LISTEN = 0x4208;
const PTRACE_O_TRACECLONE = 8;
const PTRACE_EVENT_STOP = 128;
const WNOHANG = 1;
const WALL = 0x4000_0000;
const STOP_PATIENCE_MS = 2000;
/** SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU */
const STOPPING: readonly number[] = [19, 20, 21, 22];

/** A thread has ended, or stands still because of a signal that it is about to get. */
export type WatchEvent =
  | { readonly kind: "ended"; readonly tid: number }
  | {
      readonly kind: "signal";
      readonly tid: number;
      readonly pid: number;
      readonly signal: number;
      /** Who sent it; 0: the kernel. */
      readonly sender: number;
      /** `si_code`; positive: the kernel's own. */
      readonly code: number;
      /** Of a fault; null: another signal. */
      readonly faultAddress: number | null;
    };

/** See the file's docstring. One for a process. */
export class PtraceWatch {
  readonly #pids = new Map<number, number>();

  /**
   * Watches every thread of a process, and those that it will start.
   * @throws SystemCallError EPERM when it may not, ESRCH when it has gone
   */
  seize(pid: number): void {
    for (const tid of threadsOf(pid)) {
      if (libc().ptraceNumber(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACECLONE) < 0) {
        if (tid !== pid) continue; // it has just ended, or was started by one that is watched
        throw new SystemCallError("ptrace", libc().errno(), `process ${pid}`);
      }
      this.#pids.set(tid, pid);
    }
  }

  /** Whether it is watched: not while somebody else was let at it. */
  watches(pid: number): boolean {
    return this.#pids.get(pid) === pid;
  }

  /** What has happened. Stops that concern nobody are gone on from. */
  *events(): Generator<WatchEvent> {
    const status = stableBuffer(4);
    for (;;) {
      const tid = libc().waitpid(-1, status, WNOHANG | WALL);
      if (tid <= 0) return;
      const word = status.readUInt32LE(0);
      if ((word & 0xff) !== 0x7f) {
        this.#pids.delete(tid);
        yield { kind: "ended", tid };
        continue;
      }
      const pid = this.#pids.get(tid) ?? processOf(tid);
      this.#pids.set(tid, pid);
      const signal = (word >> 8) & 0xff;
      const event = word >> 16;
      if (event === PTRACE_EVENT_STOP && STOPPING.includes(signal))
        this.#request(PTRACE_LISTEN, tid);
      else if (event !== 0) this.resume(tid, 0);
      else yield { kind: "signal", tid, pid, signal, ...infoOf(tid, signal) };
    }
  }

  /** The thread goes on, with this signal or (0) without any. */
  resume(tid: number, signal: number): void {
    libc().ptraceNumber(PTRACE_CONT, tid, 0, signal); // ESRCH: it has ended meanwhile
  }

  /** Stops every thread but `stopped`, which is already; the registers of all. */
  hold(pid: number, stopped: number | null): ReadonlyMap<number, Buffer> {
    const held = new Set<number>(stopped === null ? [] : [stopped]);
    for (let isSettled = false; !isSettled;) {
      const fresh = threadsOf(pid).filter((tid) => !held.has(tid));
      isSettled = fresh.length === 0;
      for (const tid of fresh) this.#request(PTRACE_INTERRUPT, tid);
      for (const tid of fresh) {
        held.add(tid);
        awaitStop(tid);
      }
    }
    const known = [...held].map((tid) => [tid, registers(tid)] as const);
    return new Map(known.filter((each): each is [number, Buffer] => each[1] !== null));
  }

  /** The end of `hold`: all go on, `stopped` with a signal. */
  release(pid: number, stopped: number | null, signal: number): void {
    for (const tid of readThreads(pid)) if (tid !== stopped) this.resume(tid, 0);
    if (stopped !== null) this.resume(stopped, signal);
  }

  /** Watches a process no more; it runs on. */
  leave(pid: number): void {
    for (const tid of readThreads(pid)) {
      this.#request(PTRACE_INTERRUPT, tid);
      letGo(tid, awaitStop(tid));
      this.#pids.delete(tid);
    }
  }

  #request(what: number, tid: number): void {
    libc().ptraceNumber(what, tid, 0, 0); // ESRCH: it has ended meanwhile
  }
}

/** The signal that the thread was about to get when it stopped; 0: none. */
function awaitStop(tid: number): number {
  const status = stableBuffer(4);
  const deadline = performance.now() + STOP_PATIENCE_MS;
  while (performance.now() < deadline) {
    if (libc().waitpid(tid, status, WNOHANG | WALL) === 0) continue;
    const word = status.readUInt32LE(0);
    return word >> 8 < 0x100 ? (word >> 8) & 0xff : 0;
  }
  return 0;
}

/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV */
const FAULTS: readonly number[] = [4, 5, 7, 8, 11];

/** `siginfo_t`: behind the three ints the sender (`si_code` <= 0), or the address of a fault. */
function infoOf(
  tid: number,
  signal: number,
): Pick<Extract<WatchEvent, { kind: "signal" }>, "sender" | "code" | "faultAddress"> {
  const info = stableBuffer(128);
  const isThere = libc().ptrace(PTRACE_GETSIGINFO, tid, 0, info) >= 0;
  const code = isThere ? info.readInt32LE(8) : 0;
  const isFault = code > 0 && FAULTS.includes(signal);
  return {
    sender: isThere && code <= 0 ? info.readInt32LE(16) : 0,
    code,
    faultAddress: isFault ? Number(info.readBigUInt64LE(16)) : null,
  };
}

/** Of a thread that a watched one has started. */
function processOf(tid: number): number {
  try {
    const status = readFileSync(`/proc/${tid}/status`, "latin1");
    return Number(/^Tgid:\s*(\d+)/m.exec(status)?.[1] ?? tid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return tid; // it has ended
  }
}
