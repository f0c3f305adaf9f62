/** One thread under ptrace(2): taken, let go, its registers. */
import { readFileSync } from "node:fs";
import { libc, stableBuffer } from "./libc.ts";
import { readThreads } from "./proc.ts";
import { EPERM, ESRCH, SystemCallError } from "./system-call-error.ts";

const PTRACE_DETACH = 17;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SEIZE = 0x4206;
/** The general registers: `user_regs_struct`, `user_pt_regs`. */
const NT_PRSTATUS = 1;
const REGISTER_BYTES_MAX = 1024;
const WNOHANG = 1;
const WALL = 0x4000_0000;
/** A process of ours that watches workers (`--core`), and lets go of them when asked. */
const DUMPER = /\/dumper\/main\.[jt]s\b/;
const LET_GO_MS = 2000;
const TURN_MS = 1;
/** So often in a row a thread that nobody traces is not to be had: then it may not be traced. */
const FREE_TRIES = 10;

/**
 * A thread has one tracer: our dumper lets go when it is asked to, somebody else who looks at it
 * briefly, as we do ourselves, has soon done. False: there is no such thread any more.
 */
export function seizeThread(pid: number, tid: number): boolean {
  const deadline = performance.now() + LET_GO_MS;
  let asked = 0;
  let free = 0;
  for (;;) {
    if (libc().ptrace(PTRACE_SEIZE, tid, 0, null) >= 0) return true;
    const errno = libc().errno();
    if (errno === ESRCH && tid !== pid) return false;
    const tracer = errno === EPERM ? tracerOf(tid) : 0;
    // it may have been let go of between the try and the look: then one of the next tries succeeds
    free = tracer === 0 ? free + 1 : 0;
    if (errno !== EPERM || free === FREE_TRIES || performance.now() > deadline) {
      throw new SystemCallError("ptrace", errno, `process ${pid}`);
    }
    if (tracer !== asked && DUMPER.test(textOf(tracer, "cmdline"))) {
      asked = tracer;
      process.kill(tracer, "SIGUSR2");
    }
    pause();
  }
}

/** Of a process that is there. @throws SystemCallError ESRCH */
export function threadsOf(pid: number): readonly number[] {
  const found = readThreads(pid);
  if (found.length > 0) return found;
  throw new SystemCallError("ptrace", ESRCH, `process ${pid}`);
}

const nobody = new Int32Array(new SharedArrayBuffer(4));

export function pause(): void {
  Atomics.wait(nobody, 0, 0, TURN_MS);
}

/** Takes note of the end of a thread of ours, as waitpid(2) tells it. */
export function hasEnded(tid: number): boolean {
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
export function textOf(pid: number, name: string): string {
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

export function registersOf(tid: number): Buffer {
  const words = stableBuffer(REGISTER_BYTES_MAX);
  const vector = stableBuffer(16); // struct iovec
  vector.writeBigUInt64LE(libc().address(words), 0);
  vector.writeBigUInt64LE(BigInt(words.length), 8);
  if (libc().ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, vector) < 0) {
    throw new SystemCallError("ptrace", libc().errno(), `thread ${tid}`);
  }
  return words.subarray(0, Number(vector.readBigUInt64LE(8)));
}
