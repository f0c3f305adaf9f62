/**
 * Writes a core file of a process that is held still: without gdb, ulimit or core_pattern, and with
 * what matters only. gdb opens it too.
 *
 * ```
 *   ELF header | program headers | notes | pages ...
 *                                           pages that were ever touched and that no file has:
 *                                           stacks, heaps, compiled code; of files, the first page
 * ```
 * It is written beside its name and renamed when it is whole: a full disk leaves nothing behind.
 */
import {
  closeSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { HoldfastError } from "../../base/mod.ts";
import { EM_AARCH64, EM_X86_64, ET_CORE, PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE } from "./elf.ts";
import { HOLDFAST_NOTE } from "./core-notes.ts";
import type { HoldfastNote } from "./core-notes.ts";
import type { Mapping, Target } from "./target.ts";

const PAGE_BYTES = 4096;
const HEADER_BYTES = 64;
const PROGRAM_BYTES = 56;
/** `e_phnum` is 16 bits; the rest of the pages is joined to what lies before. */
const SEGMENTS_MAX = 60_000;
/** A gap of untouched pages shorter than this is written as zeros: fewer segments. */
const GAP_PAGES_MAX = 16;
const COPY_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(PAGE_BYTES);
/** Bits 56 to 63 of a `pagemap` entry (Documentation/admin-guide/mm/pagemap.rst). */
const PRESENT_OR_SWAPPED = 0xc0;
const OF_FILE = 0x20;

export interface DumpResult {
  readonly path: string;
  readonly bytes: number;
}

interface Segment {
  readonly mapping: Mapping;
  readonly start: number;
  readonly end: number;
  /** Bytes in the file: all or none. */
  readonly fileBytes: number;
}

/**
 * Writes a dump of a live target, which stays held still.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE when the file cannot be written.
 */
export function writeDump(target: Target, path: string): DumpResult {
  const partial = `${path}.${process.pid}.partial`;
  let descriptor = -1;
  try {
    descriptor = openSync(partial, "wx", 0o600); // secrets are in there
    const bytes = write(target, descriptor);
    closeSync(descriptor);
    renameSync(partial, path);
    return { path, bytes };
  } catch (error) {
    if (descriptor >= 0) {
      closeQuietly(descriptor);
      rmSync(partial, { force: true });
    }
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw cannotWrite(path, error as NodeJS.ErrnoException);
  }
}

function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EBADF") throw error; // closed already
  }
}

function cannotWrite(path: string, error: NodeJS.ErrnoException): HoldfastError {
  const isFull = error.code === "ENOSPC" || error.code === "EDQUOT";
  const why = isFull ? "the disk is full" : `${error.syscall} gives ${error.code}`;
  return new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_WRITE",
    `Cannot write ${path}: ${why}; nothing was left there. Name another place with -o.`,
    { cause: error },
  );
}

function write(target: Target, descriptor: number): number {
  const segments = segmentsOf(target);
  const notes = notesOf(target);
  const count = segments.length + 1;
  const notesAt = HEADER_BYTES + PROGRAM_BYTES * count;
  let at = Math.ceil((notesAt + notes.length) / PAGE_BYTES) * PAGE_BYTES;
  const head = Buffer.alloc(at);
  writeHeader(head, target, count);
  writeProgram(head, 0, { type: PT_NOTE, flags: 0, offset: notesAt, address: 0 }, notes.length, 0);
  notes.copy(head, notesAt);
  const offsets: number[] = [];
  for (const [index, { mapping, start, end, fileBytes }] of segments.entries()) {
    const flags =
      (mapping.isReadable ? PF_R : 0) |
      (mapping.isWritable ? PF_W : 0) |
      (mapping.isExecutable ? PF_X : 0);
    const program = { type: PT_LOAD, flags, offset: at, address: start };
    writeProgram(head, index + 1, program, fileBytes, end - start);
    offsets.push(at);
    at += fileBytes;
  }
  writeAll(descriptor, head, head.length, 0);
  ftruncateSync(descriptor, at);
  const buffer = Buffer.allocUnsafe(COPY_BYTES);
  for (const [index, { start, fileBytes }] of segments.entries()) {
    copy(target, descriptor, buffer, start, fileBytes, offsets[index] ?? 0);
  }
  return at;
}

function copy(
  target: Target,
  descriptor: number,
  buffer: Buffer,
  start: number,
  bytes: number,
  offset: number,
): void {
  for (let done = 0; done < bytes;) {
    const wanted = Math.min(buffer.length, bytes - done);
    const part = buffer.subarray(0, wanted);
    const there = target.memory.readInto(start + done, part);
    // a page that could not be read is left as zeros
    const count = there === 0 ? Math.min(PAGE_BYTES, wanted) : there;
    if (there === 0) part.fill(0, 0, count);
    writeSparse(descriptor, part, count, offset + done);
    done += count;
  }
}

/** Pages of zeros are left out: holes of the file, which read as zeros. */
function writeSparse(descriptor: number, bytes: Buffer, count: number, position: number): void {
  for (let from = 0; from < count;) {
    let to = from;
    const isZero = isZeroPage(bytes, from);
    while (to < count && isZeroPage(bytes, to) === isZero) to += PAGE_BYTES;
    if (!isZero) writeAll(descriptor, bytes.subarray(from, to), to - from, position + from);
    from = to;
  }
}

function isZeroPage(bytes: Buffer, from: number): boolean {
  return bytes.compare(ZEROS, 0, PAGE_BYTES, from, from + PAGE_BYTES) === 0;
}

function writeAll(descriptor: number, bytes: Buffer, count: number, position: number): void {
  for (let done = 0; done < count;) {
    done += writeSync(descriptor, bytes, done, count - done, position + done);
  }
}

function writeHeader(head: Buffer, target: Target, programs: number): void {
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0], 0);
  head.writeUInt16LE(ET_CORE, 16);
  head.writeUInt16LE(target.machine.name === "x64" ? EM_X86_64 : EM_AARCH64, 18);
  head.writeUInt32LE(1, 20);
  head.writeUInt32LE(HEADER_BYTES, 32); // program headers follow
  head.writeUInt16LE(HEADER_BYTES, 52);
  head.writeUInt16LE(PROGRAM_BYTES, 54);
  head.writeUInt16LE(programs, 56);
}

function writeProgram(
  head: Buffer,
  index: number,
  {
    type,
    flags,
    offset,
    address,
  }: Readonly<Record<"type" | "flags" | "offset" | "address", number>>,
  fileBytes: number,
  memoryBytes: number,
): void {
  const at = HEADER_BYTES + PROGRAM_BYTES * index;
  head.writeUInt32LE(type, at);
  head.writeUInt32LE(flags, at + 4);
  for (const [field, value] of [offset, address, address, fileBytes, memoryBytes].entries()) {
    head.writeBigUInt64LE(BigInt(value), at + 8 + 8 * field);
  }
  head.writeBigUInt64LE(BigInt(type === PT_LOAD ? PAGE_BYTES : 4), at + 48);
}

// Which pages.

function segmentsOf(target: Target): readonly Segment[] {
  const pagemap = openSync(`/proc/${target.pid}/pagemap`, "r");
  try {
    const segments: Segment[] = [];
    for (const mapping of target.mappings) {
      const room = SEGMENTS_MAX - segments.length - target.mappings.length;
      segments.push(...segmentsOfMapping(mapping, pagemap, room));
    }
    return segments;
  } finally {
    closeSync(pagemap);
  }
}

function segmentsOfMapping(mapping: Mapping, pagemap: number, room: number): readonly Segment[] {
  const { start, end } = mapping;
  const none: Segment = { mapping, start, end, fileBytes: 0 };
  if (mapping.presentBytes === 0) return [none];
  // memory that several processes share, as the ledger is, has a name and no file
  const isFile = mapping.path?.startsWith("/") === true && !mapping.path.startsWith("/memfd:");
  const runs = touchedRuns(pagemap, mapping, isFile, room);
  // the first page of a file tells which build it is
  if (isFile && mapping.fileOffset === 0 && runs[0]?.[0] !== start) {
    runs.unshift([start, Math.min(start + PAGE_BYTES, end)]);
  }
  const segments: Segment[] = [];
  let at = start;
  for (const [from, to] of runs) {
    if (from > at) segments.push({ mapping, start: at, end: from, fileBytes: 0 });
    segments.push({ mapping, start: from, end: to, fileBytes: to - from });
    at = to;
  }
  if (at < end) segments.push({ mapping, start: at, end, fileBytes: 0 });
  return segments;
}

/** Runs of pages that were ever touched; of a file's, those that differ from the file. */
function touchedRuns(
  pagemap: number,
  { start, end }: Mapping,
  isFile: boolean,
  room: number,
): [number, number][] {
  const runs: [number, number][] = [];
  const entries = Buffer.alloc(64 * 1024);
  for (let address = start; address < end;) {
    const wanted = Math.min(entries.length, ((end - address) / PAGE_BYTES) * 8);
    const bytes = readSync(pagemap, entries, 0, wanted, (address / PAGE_BYTES) * 8);
    if (bytes < 8) break;
    for (let at = 0; at + 8 <= bytes; at += 8, address += PAGE_BYTES) {
      const bits = entries[at + 7] as number; // below the count that was read
      if ((bits & PRESENT_OR_SWAPPED) === 0 || (isFile && (bits & OF_FILE) !== 0)) continue;
      const last = runs.at(-1);
      const gap = last === undefined ? Infinity : (address - last[1]) / PAGE_BYTES;
      if (last !== undefined && (gap <= GAP_PAGES_MAX || 2 * runs.length >= room)) {
        last[1] = address + PAGE_BYTES;
      } else runs.push([address, address + PAGE_BYTES]);
    }
  }
  return runs;
}

// The notes.

function notesOf(target: Target): Buffer {
  const facts: HoldfastNote = {
    threads: target.threads.map(({ tid, name }) => ({ tid, name })),
    hasAllRegisters: target.threads.every(({ registers }) => registers?.fp !== null),
    takenAtMs: Number(process.hrtime.bigint()) / 1e6,
  };
  return Buffer.concat([
    ...target.threads.map((thread) => note("CORE", 1, statusOf(target, thread.tid))),
    note("CORE", 3, processInfo(target)),
    note("CORE", 6, auxiliaryOf(target)),
    note("CORE", 0x4649_4c45, filesOf(target.mappings)),
    note(HOLDFAST_NOTE.name, HOLDFAST_NOTE.type, Buffer.from(JSON.stringify(facts))),
  ]);
}

function note(name: string, type: number, description: Buffer): Buffer {
  const padded = (bytes: number): number => Math.ceil(bytes / 4) * 4;
  const nameBytes = name.length + 1;
  const result = Buffer.alloc(12 + padded(nameBytes) + padded(description.length));
  result.writeUInt32LE(nameBytes, 0);
  result.writeUInt32LE(description.length, 4);
  result.writeUInt32LE(type, 8);
  result.write(name, 12, "latin1");
  description.copy(result, 12 + padded(nameBytes));
  return result;
}

/** `elf_prstatus` (include/linux/elfcore.h). */
function statusOf({ machine, threads }: Target, tid: number): Buffer {
  const bytes = Buffer.alloc(112 + 8 * machine.registers.length + 8);
  bytes.writeInt32LE(tid, 32);
  const registers = threads.find((thread) => thread.tid === tid)?.registers;
  if (registers?.words) registers.words.copy(bytes, 112, 0, 8 * machine.registers.length);
  else {
    for (const [index, name] of machine.registers.entries()) {
      const value = registers?.byName.get(name);
      if (value !== undefined) bytes.writeBigUInt64LE(BigInt(value), 112 + 8 * index);
    }
  }
  return bytes;
}

/** `elf_prpsinfo`. */
function processInfo({ pid, args }: Target): Buffer {
  const bytes = Buffer.alloc(136);
  bytes.writeInt32LE(pid, 24);
  bytes.write((args?.[0] ?? "node").split("/").at(-1) ?? "", 40, 15, "utf8");
  bytes.write((args ?? []).join(" "), 56, 79, "utf8");
  return bytes;
}

function auxiliaryOf({ auxiliary }: Target): Buffer {
  const bytes = Buffer.alloc(16 * (auxiliary.size + 1));
  let at = 0;
  for (const [type, value] of auxiliary) {
    bytes.writeBigUInt64LE(BigInt(type), at);
    bytes.writeBigUInt64LE(BigInt(value), at + 8);
    at += 16;
  }
  return bytes;
}

function filesOf(mappings: readonly Mapping[]): Buffer {
  const files = mappings.filter(({ path }) => path?.startsWith("/") === true);
  const table = Buffer.alloc(16 + 24 * files.length);
  table.writeBigUInt64LE(BigInt(files.length), 0);
  table.writeBigUInt64LE(BigInt(PAGE_BYTES), 8);
  for (const [index, { start, end, fileOffset }] of files.entries()) {
    table.writeBigUInt64LE(BigInt(start), 16 + 24 * index);
    table.writeBigUInt64LE(BigInt(end), 24 + 24 * index);
    table.writeBigUInt64LE(BigInt(Math.floor(fileOffset / PAGE_BYTES)), 32 + 24 * index);
  }
  return Buffer.concat([table, Buffer.from(files.map(({ path }) => `${path}\0`).join(""))]);
}
