/**
 * Stops another process and reads the registers of its threads: ptrace(2) with PTRACE_SEIZE, which
 * sends no signal that the process could notice. If this process dies, the kernel lets it run on.
 */
import { readFileSync, readdirSync } from "node:fs";
import { EINTR, EPERM, ESRCH, SystemCallError } from "./system-call-error.ts";
import { libc, stableBuffer } from "./libc.ts";

const PTRACE_DETACH = 17;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
/** In the status of waitpid: what stopped the thread is the interrupt, or SIGSTOP before it. */
const PTRACE_EVENT_STOP = 128;
/** The general registers: `user_regs_struct`, `user_pt_regs`. */
const NT_PRSTATUS = 1;
const REGISTER_BYTES_MAX = 1024;
/** `struct iovec`: address and length. */
const IOVEC_BYTES = 16;
/** IOV_MAX */
const PARTS_MAX = 1024;
const WNOHANG = 1;
const WALL = 0x4000_0000;
/** A process of ours that watches workers (`--core`), and lets go of them when asked. */
const DUMPER = /\/dumper\/main\.[jt]s\b/;
const LET_GO_MS = 2000;
const TURN_MS = 1;
/** A thread in an uninterruptible sleep (a disk) stops when that ends. */
const STOP_PATIENCE_MS = 5_000;
/** While they are stopped one after the other, threads may start others. */
const SWEEPS_MAX = 100;

/** Holds a process still. One at a time; not while a worker of ours is the parent of it. */
export class PtraceTracer {
  readonly #tids: number[] = [];
  #isHolding = false;
  /** Signals that were on their way to a thread when it stopped, by thread: it gets them later. */
  readonly #signals = new Map<number, number>();

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

  /**
   * Lets every thread run on. One that was killed meanwhile cannot be let go of: its parent is told
   * of its end when we have taken note of it, of the first thread's last.
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
    this.#isHolding = dying.length > 0;
  }

  /** Whether threads could not be let go of in time: they stand still until this process ends. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  #seizeNew(pid: number): number {
    const fresh = threads(pid).filter((tid) => !this.#tids.includes(tid));
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

function threads(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new SystemCallError("ptrace", ESRCH, `process ${pid}`);
  }
}

/**
 * A thread has one tracer: our dumper lets go when it is asked to, somebody else who looks at it
 * briefly, as we do ourselves, has soon done. False: there is no such thread any more.
 */
function seizeThread(pid: number, tid: number): boolean {
  const deadline = performance.now() + LET_GO_MS;
  let asked = 0;
  for (let tries = 0; ; tries += 1) {
    if (libc().ptrace(PTRACE_SEIZE, tid, 0, null) >= 0) return true;
    const errno = libc().errno();
    if (errno === ESRCH && tid !== pid) return false;
    const tracer = errno === EPERM ? tracerOf(tid) : 0;
    // it may have been let go of since: then the second try tells
    const isRefused = tracer === 0 && tries > 0 && tracerOf(tid) === 0;
    if (errno !== EPERM || isRefused || performance.now() > deadline) {
      throw new SystemCallError("ptrace", errno, `process ${pid}`);
    }
    if (tracer !== asked && DUMPER.test(textOf(tracer, "cmdline"))) {
      asked = tracer;
      process.kill(tracer, "SIGUSR2");
    }
    pause();
  }
}

const nobody = new Int32Array(new SharedArrayBuffer(4));

function pause(): void {
  Atomics.wait(nobody, 0, 0, TURN_MS);
}

/** Takes note of the end of a thread of ours, as waitpid(2) tells it. */
function hasEnded(tid: number): boolean {
  const status = stableBuffer(4);
  const result = libc().waitpid(tid, status, WNOHANG | WALL);
  if (result === 0) return false;
  const isStopped = result === tid && (status.readUInt32LE(0) & 0xff) === 0x7f;
  return !isStopped || letGo(tid);
}

function tracerOf(pid: number): number {
  return Number(/^TracerPid:\s*(\d+)/m.exec(textOf(pid, "status"))?.[1] ?? 0);
}

/** Empty when there is no such process. */
function textOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return "";
    throw error;
  }
}

/**
 * Watches a thread that stands still no more; it runs on, with the signal, unless that is 0. False:
 * it does not stand still, because it was killed.
 */
export function letGo(tid: number, signal = 0): boolean {
  return libc().ptraceNumber(PTRACE_DETACH, tid, 0, signal) >= 0;
}

/** The general registers of a thread that stands still; null: it has ended. */
export function registers(tid: number): Buffer | null {
  try {
    return registersOf(tid);
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === ESRCH) return null;
    throw error;
  }
}

function registersOf(tid: number): Buffer {
  const words = stableBuffer(REGISTER_BYTES_MAX);
  const vector = stableBuffer(16); // struct iovec
  vector.writeBigUInt64LE(libc().address(words), 0);
  vector.writeBigUInt64LE(BigInt(words.length), 8);
  if (libc().ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, vector) < 0) {
    throw new SystemCallError("ptrace", libc().errno(), `thread ${tid}`);
  }
  return words.subarray(0, Number(vector.readBigUInt64LE(8)));
}
