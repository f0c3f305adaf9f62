/**
 * Lets a thread that is traced and waits for others make one system call, as if its program had
 * made it: its registers and its signal mask are put back before it does anything else.
 *
 * ```
 *   stands in futex(2)         everything kept, as it must be to begin that wait anew
 *     stack below it  <------- a signal frame with the same, and where it is returned from
 *     registers       <------- of the call; behind it the program returns into that frame
 *   syscall-enter-stop, (a process was started), syscall-exit-stop
 *     registers, mask <------- put back
 * ```
 * When we die in the middle the thread runs on: it makes the call, returns into the frame, and so
 * puts everything back itself. What a thread that computes has in its vector registers is not in
 * the frame: therefore only one that waits.
 */
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { libc, stableBuffer } from "./libc.ts";
import { EINTR, ESRCH, SystemCallError } from "./system-call-error.ts";

const PTRACE_SYSCALL = 24;
const PTRACE_SETOPTIONS = 0x4200;
const PTRACE_GETEVENTMSG = 0x4201;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SETREGSET = 0x4205;
const PTRACE_GETSIGMASK = 0x420a;
const PTRACE_SETSIGMASK = 0x420b;
const PTRACE_O_TRACESYSGOOD = 1 << 0;
const PTRACE_O_TRACEFORK = 1 << 1;
const PTRACE_O_TRACECLONE = 1 << 3;
const PTRACE_O_EXITKILL = 1 << 20;
const PTRACE_O_SUSPEND_SECCOMP = 1 << 21;
/** In the status of waitpid: a process was started. */
const EVENTS_OF_A_START: readonly number[] = [1, 3];
/** In the status of waitpid: a call begins, or has ended (SIGTRAP and 0x80). */
const CALL_STOP = 0x85;
const NT_PRSTATUS = 1;
const WALL = 0x4000_0000;
const SIGNAL_SET_BYTES = 8;
const REGISTER_BYTES_MAX = 1024;
/** Where `user_regs_struct` (x86-64) has its words, in bytes. */
const REGISTERS = Object.fromEntries(
  "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi originalRax rip cs eflags rsp ss"
    .split(" ")
    .map((name, index) => [name, 8 * index]),
) as Readonly<Record<RegisterName, number>>; // those names
type RegisterName =
  | `r${8 | 9 | 10 | 11 | 12 | 13 | 14 | 15}`
  | `r${"a" | "b" | "c" | "d"}x`
  | `r${"s" | "d"}i`
  | `r${"b" | "s" | "i"}p`
  | "originalRax"
  | "cs"
  | "eflags"
  | "ss";
const ARGUMENTS = ["rdi", "rsi", "rdx", "r10", "r8", "r9"] as const;
/** Order of the words in `struct sigcontext`. */
const CONTEXT: readonly RegisterName[] = [
  ...(["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx"] as const),
  ...(["rdx", "rax", "rcx", "rsp", "rip", "eflags"] as const),
];
/** `struct rt_sigframe`: return address, ucontext, siginfo; where what begins. */
const FRAME = { flags: 8, stackFlags: 32, context: 48, segments: 192, mask: 304, bytes: 440 };
/** UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS: the stack segment is in it. */
const FRAME_FLAGS = 6n;
/** No such flags: the alternate stack stays as it is. */
const NO_STACK_FLAGS = 5;
/** What a function may use below its stack pointer (System V ABI). */
const RED_ZONE_BYTES = 128;
/** `syscall; ret`, and what the C library returns from a signal by: `mov $15, %rax; syscall`. */
const CALL_AND_RETURN = Buffer.from([0x0f, 0x05, 0xc3]);
const SIGNAL_RETURN = Buffer.from([0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]);
const SYSCALL_BYTES = 2n;
/** Where code is that every program has: the C library, else the program itself. */
const C_LIBRARY = /\/(?:libc[.-]|ld-musl-)/u;
/** What a thread waits in that has nothing to do: futex(2), to be begun anew. */
const [FUTEX, ERESTARTSYS] = [202n, -512n];
/** Signals by which people and service managers end a command. */
const ENDINGS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Where a program has the instructions that are needed. */
export interface CallPlace {
  readonly callAndReturn: number;
  readonly signalReturn: number;
}

/** What came of a call. */
export interface CallResult {
  /** As the kernel gives it: negative, the number of an error. */
  readonly value: number;
  /** A process that the call has started, which is traced too; null: none. */
  readonly started: number | null;
  /** Signals that arrived meanwhile and that the thread has not got. */
  readonly signals: readonly number[];
}

/** Null: not found, or a machine whose registers have other names. */
export function callPlace(pid: number): CallPlace | null {
  if (process.arch !== "x64") return null;
  const mappings = readFileSync(`/proc/${pid}/maps`, "latin1")
    .split("\n")
    .map((line) => /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \d+ +(\/.*)$/u.exec(line))
    .filter((match) => match !== null)
    .toSorted((a, b) => Number(C_LIBRARY.test(b[3] ?? "")) - Number(C_LIBRARY.test(a[3] ?? "")));
  const memory = openSync(`/proc/${pid}/mem`, "r");
  try {
    for (const [, from = "", to = ""] of mappings) {
      const start = Number.parseInt(from, 16);
      const code = Buffer.alloc(Number.parseInt(to, 16) - start);
      readSync(memory, code, 0, code.length, start);
      const [call, back] = [code.indexOf(CALL_AND_RETURN), code.indexOf(SIGNAL_RETURN)];
      if (call < 0 || back < 0) continue;
      return { callAndReturn: start + call, signalReturn: start + back };
    }
    return null;
  } finally {
    closeSync(memory);
  }
}

/** Whether a thread that stands still has nothing to do: it waits for others. */
export function isIdle(words: Buffer): boolean {
  const { originalRax, rax } = REGISTERS;
  return words.readBigInt64LE(originalRax) === FUTEX && words.readBigInt64LE(rax) === ERESTARTSYS;
}

/**
 * Makes the call in a thread that is idle. What it starts is traced, and stands still.
 * @throws SystemCallError ESRCH: the thread has ended; another: of ptrace(2), or the stack
 */
export function callIn(
  tid: number,
  place: CallPlace,
  number: number,
  args: readonly number[],
): CallResult {
  const kept = registersOf(tid);
  if (isIdle(kept)) beginAnew(kept);
  const mask = stableBuffer(SIGNAL_SET_BYTES);
  request(PTRACE_GETSIGMASK, tid, SIGNAL_SET_BYTES, mask);
  const frameAt = writeFrame(tid, place, kept, mask);
  const result = makeCall(tid, callRegisters(kept, place, number, args, frameAt));
  setRegisters(tid, kept);
  request(PTRACE_SETSIGMASK, tid, SIGNAL_SET_BYTES, mask);
  return result;
}

/** The same in a process that never ran, and never will. */
export function callInCopy(
  pid: number,
  place: CallPlace,
  number: number,
  args: readonly number[],
): CallResult {
  return makeCall(pid, callRegisters(registersOf(pid), place, number, args, 0));
}

function makeCall(tid: number, words: Buffer): CallResult {
  const all = stableBuffer(SIGNAL_SET_BYTES).fill(0xff);
  setRegisters(tid, words);
  request(PTRACE_SETSIGMASK, tid, SIGNAL_SET_BYTES, all);
  const signals: number[] = [];
  let started: number | null = null;
  for (let stops = 0; stops < 2;) {
    if (libc().ptraceNumber(PTRACE_SYSCALL, tid, 0, 0) < 0) throw gone(tid);
    const status = awaitStop(tid);
    const [signal, event] = [(status >>> 8) & 0xff, status >>> 16];
    if (EVENTS_OF_A_START.includes(event)) started = eventMessage(tid);
    else if (signal === CALL_STOP) stops += 1;
    else if (event === 0) signals.push(signal);
  }
  return { value: Number(registersOf(tid).readBigInt64LE(REGISTERS.rax)), started, signals };
}

/** What the kernel would do itself with a wait that was interrupted. */
function beginAnew(words: Buffer): void {
  words.writeBigInt64LE(words.readBigInt64LE(REGISTERS.originalRax), REGISTERS.rax);
  words.writeBigInt64LE(words.readBigInt64LE(REGISTERS.rip) - SYSCALL_BYTES, REGISTERS.rip);
  words.writeBigInt64LE(-1n, REGISTERS.originalRax);
}

function callRegisters(
  kept: Buffer,
  place: CallPlace,
  number: number,
  args: readonly number[],
  stack: number,
): Buffer {
  const words = stableBuffer(kept.length);
  kept.copy(words);
  for (const [index, name] of ARGUMENTS.entries()) {
    words.writeBigInt64LE(BigInt(args[index] ?? 0), REGISTERS[name]);
  }
  words.writeBigInt64LE(BigInt(number), REGISTERS.rax);
  words.writeBigInt64LE(-1n, REGISTERS.originalRax);
  words.writeBigInt64LE(BigInt(place.callAndReturn), REGISTERS.rip);
  words.writeBigInt64LE(BigInt(stack), REGISTERS.rsp);
  return words;
}

/** Below the stack of the thread; where. */
function writeFrame(tid: number, place: CallPlace, kept: Buffer, mask: Buffer): number {
  const frame = Buffer.alloc(FRAME.bytes);
  frame.writeBigInt64LE(BigInt(place.signalReturn), 0);
  frame.writeBigInt64LE(FRAME_FLAGS, FRAME.flags);
  frame.writeInt32LE(NO_STACK_FLAGS, FRAME.stackFlags);
  for (const [index, name] of CONTEXT.entries()) {
    const at = REGISTERS[name];
    kept.copy(frame, FRAME.context + 8 * index, at, at + 8);
  }
  kept.copy(frame, FRAME.segments, REGISTERS.cs, REGISTERS.cs + 2);
  kept.copy(frame, FRAME.segments + 6, REGISTERS.ss, REGISTERS.ss + 2);
  mask.copy(frame, FRAME.mask);
  const top = Number(kept.readBigInt64LE(REGISTERS.rsp)) - RED_ZONE_BYTES - FRAME.bytes;
  const at = top - (top % 16);
  const memory = openSync(`/proc/${tid}/mem`, "r+");
  try {
    writeSync(memory, frame, 0, frame.length, at);
  } finally {
    closeSync(memory);
  }
  return at;
}

/**
 * Tells the kernel to trace what a thread starts, and not to filter its calls.
 * @returns whether filters are lifted: that needs CAP_SYS_ADMIN
 */
export function traceStarts(tid: number): boolean {
  const starts = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE;
  const all = starts | PTRACE_O_SUSPEND_SECCOMP;
  if (libc().ptraceNumber(PTRACE_SETOPTIONS, tid, 0, all) >= 0) return true;
  if (libc().ptraceNumber(PTRACE_SETOPTIONS, tid, 0, starts) < 0) throw gone(tid);
  return false;
}

/** Tells the kernel how to trace a process that was started, and to end it when we do. */
export function traceCopy(pid: number, isUnfiltered: boolean): void {
  const options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
  const all = options | (isUnfiltered ? PTRACE_O_SUSPEND_SECCOMP : 0);
  if (libc().ptraceNumber(PTRACE_SETOPTIONS, pid, 0, all) < 0) throw gone(pid);
}

/** Does something in which this process should not end: signals that would end it wait. */
export function withoutEnding<Value>(act: () => Value): Value {
  const caught: NodeJS.Signals[] = [];
  const take = (signal: NodeJS.Signals): void => {
    caught.push(signal);
  };
  const mine = ENDINGS.filter((signal) => process.listenerCount(signal) === 0);
  for (const signal of mine) process.on(signal, take);
  try {
    return act();
  } finally {
    setImmediate(() => {
      for (const signal of mine) process.off(signal, take);
      for (const signal of caught) process.kill(process.pid, signal);
    });
  }
}

/** The status of a thread that has stopped. @throws SystemCallError ESRCH: it has ended */
export function awaitStop(tid: number): number {
  const status = stableBuffer(4);
  for (;;) {
    const result = libc().waitpid(tid, status, WALL);
    if (result === tid && (status.readUInt32LE(0) & 0xff) === 0x7f) return status.readUInt32LE(0);
    if (result === tid || libc().errno() !== EINTR) throw gone(tid);
  }
}

function registersOf(tid: number): Buffer {
  const words = stableBuffer(REGISTER_BYTES_MAX);
  const count = regset(PTRACE_GETREGSET, tid, words);
  return words.subarray(0, count);
}

function setRegisters(tid: number, words: Buffer): void {
  regset(PTRACE_SETREGSET, tid, words);
}

function regset(what: number, tid: number, words: Buffer): number {
  const vector = stableBuffer(16); // struct iovec
  vector.writeBigUInt64LE(libc().address(words), 0);
  vector.writeBigUInt64LE(BigInt(words.length), 8);
  request(what, tid, NT_PRSTATUS, vector);
  return Number(vector.readBigUInt64LE(8));
}

function eventMessage(tid: number): number {
  const message = stableBuffer(8);
  request(PTRACE_GETEVENTMSG, tid, 0, message);
  return Number(message.readBigUInt64LE(0));
}

function request(what: number, tid: number, address: number, data: Buffer): void {
  if (libc().ptrace(what, tid, address, data) < 0) {
    throw new SystemCallError("ptrace", libc().errno(), `thread ${tid}`);
  }
}

function gone(tid: number): SystemCallError {
  return new SystemCallError("ptrace", ESRCH, `thread ${tid}, which has ended`);
}
