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
import { closeSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { HoldfastError } from "../../base/mod.ts";
import { EM_AARCH64, EM_X86_64, ET_CORE, PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE } from "./elf.ts";
import { HOLDFAST_NOTE } from "./core-notes.ts";
import type { HoldfastNote } from "./core-notes.ts";
import { refuseSpecial } from "./output-file.ts";
import { isOfFile, presentRuns } from "./page-runs.ts";
import type { Run } from "./page-runs.ts";
import type { Mapping, SignalFacts, SocketTimes, Target } from "./target.ts";

const PAGE_BYTES = 4096;
const HEADER_BYTES = 64;
const PROGRAM_BYTES = 56;
/** `e_phnum` is 16 bits; the rest of the pages is joined to what lies before. */
const SEGMENTS_MAX = 60_000;
/** Fewer untouched pages between others are zeros, as the process would read them. */
const GAP_PAGES_MAX = 16;
/**
 * Blocks of one and the same byte are in the file once, whatever their number: zeros between pages,
 * and since Node 24 a table of a library that nobody uses has 1 MiB in which every bit is set.
 */
const FILLED_BYTES = GAP_PAGES_MAX * PAGE_BYTES;
/** Runs from which on it is looked for them: the tables are larger than what V8 has in a piece. */
const FILLED_RUN_BYTES_MIN = 512 * 1024;
const FILLED_WORD = Buffer.alloc(8, 0xff);
const FILLED = Buffer.alloc(FILLED_BYTES, 0xff);
/** Some MB of notes. */
const DESCRIPTORS_MAX = 100_000;
const COPY_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(PAGE_BYTES);

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
  /** What is there of them; what lies between is left as zeros. */
  readonly runs: readonly Run[];
  /** Its bytes in the file are those of the others that have this byte everywhere. */
  readonly fill: 0 | 0xff | null;
}

/** Bytes that are written, of all. */
export type DumpStep = readonly [doneBytes: number, totalBytes: number];

/**
 * Writes a dump of a live target, which stays held still, or of a copy of one.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE when the file cannot be written.
 */
export function writeDump(target: Target, path: string): DumpResult {
  const steps = dumpSteps(target, path);
  for (;;) {
    const { value, done } = steps.next();
    if (done === true) return value;
  }
}

/** The same in steps; when they are not taken to their end, no file is left. */
export function* dumpSteps(target: Target, path: string): Generator<DumpStep, DumpResult> {
  const partial = `${path}.${process.pid}.partial`;
  let descriptor = -1;
  let isWhole = false;
  try {
    refuseSpecial(path);
    descriptor = openSync(partial, "wx", 0o600); // secrets are in there
    const bytes = yield* write(target, descriptor);
    closeSync(descriptor);
    renameSync(partial, path);
    isWhole = true;
    return { path, bytes };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw cannotWrite(path, error as NodeJS.ErrnoException);
  } finally {
    if (descriptor >= 0 && !isWhole) {
      closeQuietly(descriptor);
      rmSync(partial, { force: true });
    }
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

function* write(target: Target, descriptor: number): Generator<DumpStep, number> {
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
  const blocks = new Map<number, number>();
  for (const [index, { mapping, start, end, fileBytes, fill }] of segments.entries()) {
    const flags =
      (mapping.isReadable ? PF_R : 0) |
      (mapping.isWritable ? PF_W : 0) |
      (mapping.isExecutable ? PF_X : 0);
    const known = fill === null ? undefined : blocks.get(fill);
    const offset = known ?? at;
    const program = { type: PT_LOAD, flags, offset, address: start };
    writeProgram(head, index + 1, program, fileBytes, end - start);
    offsets.push(offset);
    if (known !== undefined) continue;
    if (fill !== null) blocks.set(fill, at);
    at += fill === null ? fileBytes : FILLED_BYTES;
  }
  writeAll(descriptor, head, head.length, 0);
  ftruncateSync(descriptor, at);
  const filledAt = blocks.get(0xff); // that of zeros is a hole
  if (filledAt !== undefined) writeAll(descriptor, FILLED, FILLED_BYTES, filledAt);
  const buffer = Buffer.allocUnsafe(COPY_BYTES);
  for (const [index, { start, runs }] of segments.entries()) {
    const offset = offsets[index] ?? 0;
    for (const run of runs) {
      for (const done of copy(target, descriptor, buffer, run, offset + run[0] - start)) {
        yield [done, at];
      }
    }
  }
  return at;
}

/** Yields where in the file it is. */
function* copy(
  { readBulk, memory }: Target,
  descriptor: number,
  buffer: Buffer,
  [start, end]: Run,
  offset: number,
): Generator<number, void> {
  for (let address = start; address < end;) {
    const wanted = Math.min(buffer.length, end - address);
    const part = buffer.subarray(0, wanted);
    const there = readBulk?.(address, part) ?? memory.readInto(address, part);
    // a page that could not be read is left as zeros
    const count = there === 0 ? Math.min(PAGE_BYTES, wanted) : there;
    if (there === 0) part.fill(0, 0, count);
    writeSparse(descriptor, part, count, offset + address - start);
    yield offset + address - start;
    address += count;
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
  const { pid, mappings } = target;
  const present = target.runs ?? presentRuns(pid, mappings);
  const segments: Segment[] = [];
  for (const mapping of mappings) {
    const room = SEGMENTS_MAX - segments.length - mappings.length;
    const some = segmentsOfMapping(mapping, present.get(mapping) ?? [], room);
    const isOwn = mapping.path === null && segments.length + some.length < SEGMENTS_MAX / 2;
    segments.push(...(isOwn ? some.flatMap((one) => withoutFilled(target, one)) : some));
  }
  return segments;
}

/** Cuts the blocks out of a segment in which all bits are set. */
function withoutFilled(target: Target, segment: Segment): readonly Segment[] {
  const { mapping, start, end, runs } = segment;
  const parts: Segment[] = [];
  let from = start;
  const part = (to: number): void => {
    if (to === from) return;
    const inside = runs.flatMap(([first, last]): readonly Run[] =>
      first < to && last > from ? [[Math.max(first, from), Math.min(last, to)]] : [],
    );
    parts.push({
      mapping,
      start: from,
      end: to,
      fileBytes: to - from,
      runs: inside,
      fill: null,
    });
  };
  for (const [first, last] of runs) {
    if (last - first < FILLED_RUN_BYTES_MIN) continue;
    for (let at = first; at + FILLED_BYTES <= last; at += FILLED_BYTES) {
      if (!isFilled(target, at)) continue;
      part(at);
      from = at + FILLED_BYTES;
      parts.push({
        mapping,
        start: at,
        end: from,
        fileBytes: FILLED_BYTES,
        runs: [],
        fill: 0xff,
      });
    }
  }
  if (from === start) return [segment];
  part(end);
  return parts;
}

function isFilled({ memory, readBulk }: Target, start: number): boolean {
  // the first word tells of nearly all that they are not; past the cache of pages: it is read once
  const isAllOnes = (wanted: Buffer): boolean => {
    const bytes = Buffer.alloc(wanted.length);
    const there = readBulk?.(start, bytes) ?? memory.readInto(start, bytes);
    return there === wanted.length && bytes.equals(wanted);
  };
  return isAllOnes(FILLED_WORD) && isAllOnes(FILLED);
}

/** A segment for each run; where a core cannot have so many, the rest is joined. */
function segmentsOfMapping(
  mapping: Mapping,
  runs: readonly Run[],
  room: number,
): readonly Segment[] {
  const groups: { start: number; end: number; runs: Run[] }[] = [];
  for (const run of runs) {
    const [start, end] = run;
    const last = groups.at(-1);
    if (last !== undefined && 2 * groups.length >= room) {
      // between pages of a file that were written to are the file's own, and no zeros
      if (isOfFile(mapping)) last.runs = [[last.start, end]];
      else last.runs.push(run);
      last.end = end;
    } else groups.push({ start, end, runs: [run] });
  }
  const segments: Segment[] = [];
  let at = mapping.start;
  const none = (start: number, end: number): Segment => {
    const isGap = start > mapping.start && end - start <= FILLED_BYTES && !isOfFile(mapping);
    const fileBytes = isGap && end < mapping.end ? end - start : 0;
    return { mapping, start, end, fileBytes, runs: [], fill: fileBytes === 0 ? null : 0 };
  };
  for (const { start, end, runs: some } of groups) {
    if (start > at) segments.push(none(at, start));
    segments.push({ mapping, start, end, fileBytes: end - start, runs: some, fill: null });
    at = end;
  }
  if (at < mapping.end) segments.push(none(at, mapping.end));
  return segments;
}

// The notes.

function notesOf(target: Target): Buffer {
  const facts: HoldfastNote = {
    threads: target.threads.map(({ tid, name }) => ({ tid, name })),
    hasAllRegisters: target.threads.every(({ registers }) => registers?.fp !== null),
    takenAtMs: target.takenAtMs ?? Number(process.hrtime.bigint()) / 1e6,
    descriptors: [...(target.descriptors?.() ?? [])].slice(0, DESCRIPTORS_MAX),
    ...(target.socketTimes === undefined ? {} : { sockets: socketsOf(target.socketTimes()) }),
  };
  const { signal } = target;
  return Buffer.concat([
    ...target.threads.map((thread) => note("CORE", 1, statusOf(target, thread.tid))),
    ...(signal === null ? [] : [note("CORE", 0x5349_4749, signalInfo(signal))]),
    note("CORE", 3, processInfo(target)),
    note("CORE", 6, auxiliaryOf(target)),
    note("CORE", 0x4649_4c45, filesOf(target.mappings)),
    note(HOLDFAST_NOTE.name, HOLDFAST_NOTE.type, Buffer.from(JSON.stringify(facts))),
  ]);
}

/** In whole milliseconds. */
function socketsOf(times: ReadonlyMap<number, SocketTimes>): NonNullable<HoldfastNote["sockets"]> {
  const rounded = (at: number | null): number | null => (at === null ? null : Math.round(at));
  return [...times]
    .slice(0, DESCRIPTORS_MAX)
    .map(([fd, { receivedAtMs, sentAtMs }]) => [fd, rounded(receivedAtMs), rounded(sentAtMs)]);
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
function statusOf({ machine, threads, signal }: Target, tid: number): Buffer {
  const bytes = Buffer.alloc(112 + 8 * machine.registers.length + 8);
  bytes.writeInt32LE(signal?.number ?? 0, 0); // si_signo
  bytes.writeInt16LE(signal?.number ?? 0, 12); // pr_cursig
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

/** `siginfo_t`: number, error, code; then the address of a fault, or who sent it. */
function signalInfo({ number, code, faultAddress, senderPid }: SignalFacts): Buffer {
  const bytes = Buffer.alloc(128);
  bytes.writeInt32LE(number, 0);
  bytes.writeInt32LE(code, 8);
  if (faultAddress !== null) bytes.writeBigUInt64LE(BigInt(faultAddress), 16);
  else bytes.writeInt32LE(senderPid ?? 0, 16);
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
