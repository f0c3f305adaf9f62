/**
 * Stops another process and reads the registers of its threads: ptrace(2) with PTRACE_SEIZE, which
 * sends no signal that the process could notice. If this process dies, the kernel lets it run on.
 */
import { EINTR, ENOSYS, ESRCH, SystemCallError } from "./system-call-error.ts";
import { libc, stableBuffer } from "./libc.ts";
import { callPlace } from "./ptrace-call.ts";
import type { CallPlace } from "./ptrace-call.ts";
import { forkRefusal, forkStopped } from "./ptrace-fork.ts";
import type { ForkRanges, ForkedProcess } from "./ptrace-fork.ts";
import { hasEnded, letGo, pause, registersOf, seizeThread, threadsOf } from "./ptrace-thread.ts";
import { readSocketTimes } from "./socket-times.ts";
import type { SocketTimes } from "./socket-times.ts";

const PTRACE_INTERRUPT = 0x4207;
/** In the status of waitpid: what stopped the thread is the interrupt, or SIGSTOP before it. */
const PTRACE_EVENT_STOP = 128;
const REGISTER_BYTES_MAX = 1024;
/** `struct iovec`: address and length. */
const IOVEC_BYTES = 16;
/** IOV_MAX */
const PARTS_MAX = 1024;
const WNOHANG = 1;
const WALL = 0x4000_0000;
/** A thread in an uninterruptible sleep (a disk) stops when that ends. */
const STOP_PATIENCE_MS = 5_000;
/** While they are stopped one after the other, threads may start others. */
const SWEEPS_MAX = 100;

/** Holds a process still. One at a time; not while a worker of ours is the parent of it. */
export class PtraceTracer {
  readonly #tids: number[] = [];
  /** Signals that were on their way to a thread when it stopped, by thread: it gets them later. */
  readonly #signals = new Map<number, number>();
  /** Where calls can be made in the process that was last asked about. */
  #place: { readonly pid: number; readonly place: CallPlace | null } | null = null;

  /** Loads what a stop needs, before it. */
  prepare(): void {
    stableBuffer(REGISTER_BYTES_MAX);
    libc();
  }

  /**
   * Stops every thread; the words of its general registers by thread id.
   * @throws SystemCallError EPERM, ESRCH; nothing is left stopped then.
   */
  seize(pid: number): ReadonlyMap<number, Buffer> {
    try {
      for (let sweep = 0; sweep < SWEEPS_MAX && this.#seizeNew(pid) > 0; sweep += 1);
      return new Map(this.#tids.map((tid) => [tid, registersOf(tid)]));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /**
   * Fills `into` with parts [start, end) of a process's memory, one behind the other
   * (process_vm_readv(2)), as far as they are there.
   * @returns how many bytes, of all parts together
   */
  readMemory(pid: number, parts: readonly (readonly [number, number])[], into: Buffer): number {
    const local = stableBuffer(IOVEC_BYTES);
    let done = 0;
    for (let first = 0; first < parts.length; first += PARTS_MAX) {
      const some = parts.slice(first, first + PARTS_MAX);
      const remote = stableBuffer(IOVEC_BYTES * some.length);
      let wanted = 0;
      for (const [index, [start, end]] of some.entries()) {
        remote.writeBigUInt64LE(BigInt(start), IOVEC_BYTES * index);
        remote.writeBigUInt64LE(BigInt(end - start), IOVEC_BYTES * index + 8);
        wanted += end - start;
      }
      local.writeBigUInt64LE(libc().address(into) + BigInt(done), 0);
      local.writeBigUInt64LE(BigInt(Math.min(wanted, into.length - done)), 8);
      const count = libc().process_vm_readv(pid, local, 1, remote, some.length, 0);
      done += Math.max(count, 0);
      if (count < wanted) break;
    }
    return done;
  }

  /** When data last went over its TCP connections; it need not stand still for that. */
  socketTimes(pid: number, descriptors: Iterable<number>): ReadonlyMap<number, SocketTimes> {
    return readSocketTimes(pid, descriptors);
  }

  /** Why `fork` is of no use; null: it is, as far as is known before it is tried. */
  forkRefusal(pid: number): string | null {
    return forkRefusal(pid, this.#placeIn(pid));
  }

  /**
   * Makes a copy of the process that stands still; see `ptrace-fork.ts`. It stays when the process
   * runs on, until it is ended.
   * @throws SystemCallError of the call that the kernel refused; then no copy is there
   */
  fork(pid: number, ranges: ForkRanges): ForkedProcess {
    const place = this.#placeIn(pid);
    if (place === null) throw new SystemCallError("clone", ENOSYS, `process ${pid}`);
    const free = this.#tids.filter((tid) => !this.#signals.has(tid));
    const threads = new Map(free.map((tid) => [tid, registersOf(tid)]));
    const fork = forkStopped(pid, threads, place, ranges);
    for (const [tid, [first, ...others]] of fork.signals) {
      if (first !== undefined) this.#signals.set(tid, first);
      for (const signal of others) libc().kill(pid, signal);
    }
    return fork;
  }

  /** Looked for once: it takes milliseconds. */
  #placeIn(pid: number): CallPlace | null {
    if (this.#place?.pid !== pid) this.#place = { pid, place: callPlace(pid) };
    return this.#place.place;
  }

  /**
   * Lets every thread run on. One that was killed meanwhile cannot be let go of: its parent is told
   * of its end when we have taken note of it, of the first thread's last. One that has not stopped
   * in all that time neither: it is let go when this process ends.
   */
  release(): void {
    const tids = this.#tids.splice(0);
    let dying = tids.filter((tid) => !letGo(tid, this.#signals.get(tid) ?? 0));
    this.#signals.clear();
    const deadline = performance.now() + STOP_PATIENCE_MS;
    while (dying.length > 0 && performance.now() < deadline) {
      dying = dying.filter((tid) => !hasEnded(tid));
      if (dying.length > 0) pause();
    }
  }

  #seizeNew(pid: number): number {
    const fresh = threadsOf(pid).filter((tid) => !this.#tids.includes(tid));
    for (const tid of fresh) {
      if (!seizeThread(pid, tid)) continue; // it has just ended
      this.#tids.push(tid);
      libc().ptrace(PTRACE_INTERRUPT, tid, 0, null);
    }
    for (const tid of fresh) if (this.#tids.includes(tid)) this.#awaitStop(tid);
    return fresh.length;
  }

  #awaitStop(tid: number): void {
    const status = stableBuffer(4);
    const deadline = performance.now() + STOP_PATIENCE_MS;
    while (performance.now() < deadline) {
      const result = libc().waitpid(tid, status, WNOHANG | WALL);
      if (result === tid) {
        const word = status.readUInt32LE(0);
        // not stopped: it has ended
        if ((word & 0xff) !== 0x7f) this.#tids.splice(this.#tids.indexOf(tid), 1);
        // stopped by a signal that came first, and not by the interrupt
        else if (word >>> 16 !== PTRACE_EVENT_STOP) this.#signals.set(tid, (word >>> 8) & 0xff);
        return;
      }
      if (result < 0 && libc().errno() !== EINTR) return;
    }
    throw new SystemCallError("ptrace", ESRCH, `thread ${tid}, which does not stop`);
  }
}
