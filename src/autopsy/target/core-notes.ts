/**
 * What the notes of a Linux core file say (fs/binfmt_elf.c): threads with registers, the signal,
 * the files that were mapped, the auxiliary vector.
 */
import { constants } from "node:os";
import { cString } from "./elf.ts";
import type { ElfFile } from "./elf.ts";
import { registersFrom } from "./machine.ts";
import type { Machine } from "./machine.ts";
import type { SignalFacts, SocketTimes, TargetThread } from "./target.ts";

const NT_PRSTATUS = 1;
const NT_PRPSINFO = 3;
const NT_AUXV = 6;
const NT_FILE = 0x4649_4c45;
const NT_SIGINFO = 0x5349_4749;
/** `elf_prstatus`: signal, thread id and registers (64 bits). */
const PRSTATUS = { signal: 12, tid: 32, registers: 112 } as const;
/** `elf_prpsinfo`: process id, command, arguments. */
const PRPSINFO = { pid: 24, args: 56, argsBytes: 80 } as const;
/** `siginfo_t`: the union behind the three ints. */
const SIGINFO = { signal: 0, code: 8, pid: 16, address: 16, bytes: 24 } as const;
const FILES_MAX = 1_000_000;
/** What a dump of ours says besides: names of threads, and whether their registers are known. */
export const HOLDFAST_NOTE = { name: "Holdfast", type: 1 } as const;

export interface HoldfastNote {
  readonly threads: readonly { readonly tid: number; readonly name: string | null }[];
  readonly hasAllRegisters: boolean;
  /** When it was taken, by the machine's monotonic clock; null: a dump of before 0.1. */
  readonly takenAtMs: number | null;
  /** What its descriptors were, as `descriptors.ts` tells. */
  readonly descriptors?: readonly (readonly [number, string])[];
  /** When data was last received and sent on its TCP connections (`SocketTimes`). */
  readonly sockets?: readonly (readonly [
    descriptor: number,
    receivedAtMs: number | null,
    sentAtMs: number | null,
  ])[];
}

/** A mapping as NT_FILE tells it. */
export interface MappedFile {
  readonly start: number;
  readonly end: number;
  readonly fileOffset: number;
  readonly path: string;
}

export interface CoreNotes {
  readonly pid: number;
  readonly threads: readonly TargetThread[];
  readonly signal: SignalFacts | null;
  /** Of a dump of our own. */
  readonly takenAtMs: number | null;
  readonly descriptors: ReadonlyMap<number, string> | null;
  readonly socketTimes: ReadonlyMap<number, SocketTimes> | null;
  readonly files: readonly MappedFile[];
  readonly auxiliary: ReadonlyMap<number, number>;
  /** The first 80 bytes of the command line, as `ps` showed it; null: not there. */
  readonly command: string | null;
}

/** Reads every note; what is malformed is left out. */
export function readCoreNotes(elf: ElfFile, machine: Machine): CoreNotes {
  const threads: TargetThread[] = [];
  let [pid, crashSignal] = [0, 0];
  let signal: SignalFacts | null = null;
  let files: readonly MappedFile[] = [];
  let auxiliary: ReadonlyMap<number, number> = new Map();
  let command: string | null = null;
  let own: HoldfastNote | null = null;
  for (const { name, type, bytes } of elf.notes()) {
    if (name === HOLDFAST_NOTE.name) own = ownNote(bytes);
    else if (type === NT_PRSTATUS && bytes.length > PRSTATUS.registers) {
      const registers = registersFrom(machine, bytes.subarray(PRSTATUS.registers));
      if (threads.length === 0) crashSignal = bytes.readUInt16LE(PRSTATUS.signal);
      threads.push({ tid: bytes.readInt32LE(PRSTATUS.tid), name: null, registers });
    } else if (type === NT_PRPSINFO && bytes.length >= PRPSINFO.args + PRPSINFO.argsBytes) {
      pid = bytes.readInt32LE(PRPSINFO.pid);
      command = cString(bytes.subarray(PRPSINFO.args, PRPSINFO.args + PRPSINFO.argsBytes), 0);
    } else if (type === NT_SIGINFO && bytes.length >= SIGINFO.bytes) {
      signal = signalFrom(bytes);
    } else if (type === NT_FILE) {
      files = filesFrom(bytes);
    } else if (type === NT_AUXV) {
      auxiliary = auxiliaryFrom(bytes);
    }
  }
  if (signal === null && crashSignal > 0) signal = bareSignal(crashSignal);
  return {
    pid: pid || (threads[0]?.tid ?? 0),
    threads: own === null ? threads : threads.map((thread) => completed(thread, own)),
    signal,
    takenAtMs: own?.takenAtMs ?? null,
    descriptors: own?.descriptors === undefined ? null : new Map(own.descriptors),
    socketTimes: own?.sockets === undefined ? null : timesFrom(own.sockets),
    files,
    auxiliary,
    command,
  };
}

function ownNote(bytes: Buffer): HoldfastNote | null {
  try {
    const note = JSON.parse(bytes.toString()) as Partial<HoldfastNote>; // checked below
    const { threads, hasAllRegisters } = note;
    if (!Array.isArray(threads) || typeof hasAllRegisters !== "boolean") return null;
    const takenAtMs = typeof note.takenAtMs === "number" ? note.takenAtMs : null;
    const facts = { threads: threads.filter(isNamedThread), hasAllRegisters, takenAtMs };
    const { descriptors, sockets } = note;
    return {
      ...facts,
      ...(Array.isArray(descriptors) ? { descriptors: descriptors.filter(isDescriptor) } : {}),
      ...(Array.isArray(sockets) ? { sockets: sockets.filter(isSocket) } : {}),
    };
  } catch {
    return null; // damaged: then the names are missing
  }
}

function isNamedThread(value: unknown): value is HoldfastNote["threads"][number] {
  const { tid, name } = (value ?? {}) as { tid?: unknown; name?: unknown };
  return typeof tid === "number" && (name === null || typeof name === "string");
}

function isDescriptor(value: unknown): value is readonly [number, string] {
  return Array.isArray(value) && typeof value[0] === "number" && typeof value[1] === "string";
}

function isSocket(value: unknown): value is NonNullable<HoldfastNote["sockets"]>[number] {
  if (!Array.isArray(value) || typeof value[0] !== "number") return false;
  return [value[1], value[2]].every((at) => at === null || typeof at === "number");
}

function timesFrom(
  sockets: NonNullable<HoldfastNote["sockets"]>,
): ReadonlyMap<number, SocketTimes> {
  return new Map(
    sockets.map(([fd, receivedAtMs, sentAtMs]) => [fd, { receivedAtMs, sentAtMs }] as const),
  );
}

/** Registers of a dump that was made without ptrace: of all but two the words are zero. */
function completed(thread: TargetThread, own: HoldfastNote): TargetThread {
  const name = own.threads.find(({ tid }) => tid === thread.tid)?.name ?? null;
  const { registers } = thread;
  if (registers === null || own.hasAllRegisters) return { ...thread, name };
  const byName = new Map([...registers.byName].filter(([, value]) => value !== 0));
  return { ...thread, name, registers: { ...registers, fp: null, byName, words: null } };
}

/** `SIGSEGV` of 11. */
export function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}

function bareSignal(number: number): SignalFacts {
  return { number, name: signalName(number), code: 0, faultAddress: null, senderPid: null };
}

/** gcore writes one that is all zero, or SIGTRAP of its own making: the process did not die. */
function signalFrom(bytes: Buffer): SignalFacts | null {
  const number = bytes.readInt32LE(SIGINFO.signal);
  if (number === 0) return null;
  const code = bytes.readInt32LE(SIGINFO.code);
  const faults: readonly string[] = ["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP"];
  const name = signalName(number);
  const isFault = code > 0 && faults.includes(name);
  const address =
    bytes.readUInt32LE(SIGINFO.address) + bytes.readUInt32LE(SIGINFO.address + 4) * 0x1_0000_0000;
  return {
    number,
    name,
    code,
    faultAddress: isFault ? address : null,
    senderPid: code <= 0 ? bytes.readInt32LE(SIGINFO.pid) : null,
  };
}

function unsigned64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
}

/** Count, page size, (start, end, offset in pages) for each, then the paths. */
function filesFrom(bytes: Buffer): MappedFile[] {
  if (bytes.length < 16) return [];
  const count = Math.min(unsigned64(bytes, 0), FILES_MAX, Math.floor((bytes.length - 16) / 24));
  const pageBytes = unsigned64(bytes, 8);
  const files: MappedFile[] = [];
  let pathAt = 16 + 24 * count;
  for (let index = 0; index < count; index += 1) {
    const at = 16 + 24 * index;
    const path = cString(bytes, pathAt);
    pathAt += Buffer.byteLength(path, "latin1") + 1;
    files.push({
      start: unsigned64(bytes, at),
      end: unsigned64(bytes, at + 8),
      fileOffset: unsigned64(bytes, at + 16) * pageBytes,
      path: Buffer.from(path, "latin1").toString(), // the kernel writes bytes: UTF-8 by custom
    });
  }
  return files;
}

/** Pairs of type and value, up to type 0. */
export function auxiliaryFrom(bytes: Buffer): ReadonlyMap<number, number> {
  const values = new Map<number, number>();
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    const type = unsigned64(bytes, at);
    if (type === 0) break;
    values.set(type, unsigned64(bytes, at + 8));
  }
  return values;
}
