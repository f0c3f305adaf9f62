/**
 * Constants of compiled code: where its tables are, and what they begin with. Found in functions
 * that TurboFan has compiled, one of them with six calls within `try`, under a flag that puts
 * something behind the tables (`--perf-prof-unwinding-info`): else several fields hold their end.
 *
 * ```
 *   Code                    InstructionStream
 *     instruction start -->   map, Code, ..., bytes of the body | instructions | metadata
 *     instruction size                                             metadata: safepoint table
 *     metadata size                                                          handler table: a row
 *     handler table                                                          of two for each call
 *     ...                                                                    unwinding information
 * ```
 */
import { readSafepoints } from "../src/autopsy/stack/safepoints.ts";
import { isSmi, smiValue } from "../src/autopsy/v8/tagged.ts";
import type { Found, Search } from "./autopsy-layout-scene.ts";

/** Calls within `try` in the subject `guarded`. */
const GUARDED_CALLS = 6;
const HANDLER_ROW_BYTES = 8;
/** All fields of a Code that follow the size of its instructions, in 12.4 to 14.6. */
const FIELDS_BYTES = 48;

interface Compiled {
  readonly code: number;
  readonly start: number;
  readonly instructions: Buffer;
  /** From the end of the instructions on, as far as the stream may reach. */
  readonly metadata: Buffer;
}

export function compiledCode(search: Search) {
  const { heap } = search;
  const [inlined, guarded, unguarded] = [
    compiledOf(search, "inlined"),
    compiledOf(search, "guarded"),
    compiledOf(search, "unguarded"),
  ];
  const codes = [inlined, guarded, unguarded];
  const object = inlined.code;
  const deopt = search.one("deoptimisation data", (offset) =>
    /FIXED_ARRAY|DEOPT/u.test(search.typeAt(object, offset)),
  );
  const positions = search.one("position table", (offset) =>
    /BYTE_ARRAY/u.test(search.typeAt(object, offset)),
  );
  const exits = startOfExits(search, heap.tagged(object, deopt));
  const metadataSize = sizeOfMetadata(search, codes);
  const handlers = handlerTable(search, guarded);
  return {
    codeDeoptimizationData: [deopt, "search: the array in the Code of an optimised function"],
    codePositionTable: [positions, "search: the ByteArray in the Code of an optimised function"],
    codeMetadataSize: [
      metadataSize,
      "search: with the size of the instructions it is that of the InstructionStream's body",
    ],
    codeHandlerTable: [
      handlers,
      "search: rows of six calls within try, each a return address and a place in the code",
    ],
    deoptExitStart: [exits, "search: eager and lazy exits are as many as the rows behind"],
    deoptFirstEntry: [exits + 3, "search: behind start, eager and lazy count"],
    hasStackSlots: [
      safepointHeader(search, codes, { deopt, firstEntry: exits + 3, handlers }),
      "search: every pc of a table that is read so is a return address",
    ],
    interpreterRegisters: [
      registers(search),
      "search: three variables of a function that stands still",
    ],
  } satisfies Partial<Found>;
}

function compiledOf(search: Search, name: string): Compiled {
  const { heap, scene } = search;
  const text = scene.subjects.get(name)?.text ?? "";
  const address = /- code: 0x([0-9a-f]+) <Code TURBOFAN/u.exec(text)?.[1];
  if (address === undefined) throw new Error(`the subject ${name} was not optimised`);
  const code = Number.parseInt(address, 16) - 1;
  const start = heap.word(code, heap.layout.field("Code", "instruction_start"));
  const bytes = instructionBytes(search, code);
  const both = scene.target.memory.read(start, 2 * bytes + 4096);
  if (both === null) throw new Error(`the code of ${name} is not there`);
  return { code, start, instructions: both.subarray(0, bytes), metadata: both.subarray(bytes) };
}

function instructionBytes({ heap }: Search, code: number): number {
  return heap.unsigned(code, heap.layout.field("Code", "instruction_size"), 4);
}

/** The one field behind the size of the instructions for which this holds. */
function fieldBehindSize(
  search: Search,
  what: string,
  holds: (valueOf: (code: number) => number) => boolean,
): number {
  const { heap } = search;
  const size = heap.layout.field("Code", "instruction_size");
  return search.one(
    what,
    (offset) => holds((code) => heap.unsigned(code, size + offset, 4)),
    4,
    4,
    FIELDS_BYTES,
  );
}

/** The header of a stream has the bytes of its body: instructions and metadata. */
function sizeOfMetadata(search: Search, codes: readonly Compiled[]): number {
  const { heap } = search;
  const header = heap.layout.field("InstructionStream", "instruction_start");
  const bodyAt = (offset: number, { start }: Compiled): number =>
    heap.unsigned(start - header, offset, 4);
  const offsets = Array.from({ length: header / 4 }, (_, index) => 4 * index);
  return fieldBehindSize(search, "size of the metadata", (valueOf) =>
    offsets.some((offset) =>
      codes.every((one) => {
        return bodyAt(offset, one) === one.instructions.length + valueOf(one.code);
      }),
    ),
  );
}

function handlerTable(search: Search, { code, instructions, metadata }: Compiled): number {
  return fieldBehindSize(search, "handler table", (valueOf) => {
    const at = valueOf(code);
    if (at + HANDLER_ROW_BYTES * GUARDED_CALLS > metadata.length) return false;
    const rows = Array.from({ length: GUARDED_CALLS }, (_, index) => at + 8 * index);
    return rows.every((row, index) => {
      const address = metadata.readUInt32LE(row);
      const before = index === 0 ? 0 : metadata.readUInt32LE(row - HANDLER_ROW_BYTES);
      return address > before && isBehindCall(instructions, address);
    });
  });
}

interface Tables {
  readonly deopt: number;
  readonly firstEntry: number;
  /** Field of the handler table, where the safepoints end. */
  readonly handlers: number;
}

/** 1 when a safepoint table begins with the number of stack slots, 0 when with its length. */
function safepointHeader(search: Search, codes: readonly Compiled[], tables: Tables): number {
  const { heap } = search;
  const size = heap.layout.field("Code", "instruction_size");
  const isSo = (hasStackSlots: boolean): boolean =>
    codes.every(({ code, instructions, metadata }) => {
      const table = metadata.subarray(0, heap.unsigned(code, size + tables.handlers, 4));
      const rows = heap.arrayLength(heap.tagged(code, tables.deopt)) - tables.firstEntry;
      const bounds = { codeBytes: instructions.length, deoptCount: Math.floor(rows / 3) };
      const found = readSafepoints(table, "turbofan", { hasStackSlots }, bounds) ?? [];
      return found.length > 1 && found.every(({ pc }) => isBehindCall(instructions, pc));
    });
  return search.one("header of a safepoint table", (choice) => isSo(choice === 1), 0, 1, 2);
}

/** `call rel32`, or `call` of a register or of memory (Intel SDM, volume 2: E8, FF /2). */
function isBehindCall(code: Buffer, offset: number): boolean {
  if (offset > code.length) return false;
  if (code[offset - 5] === 0xe8) return true;
  return [2, 3, 4, 6, 7].some((bytes) => {
    const modrm = code[offset - bytes + 1] ?? 0;
    return code[offset - bytes] === 0xff && ((modrm >>> 3) & 7) === 2;
  });
}

/** Start, how many eager exits, how many lazy ones; then a row of three for each. */
function startOfExits(search: Search, data: number): number {
  const { heap } = search;
  const length = heap.arrayLength(data);
  const item = (index: number): number => {
    const value = heap.arrayItem(data, index);
    return isSmi(value) ? smiValue(value) : Number.NaN;
  };
  return search.one(
    "start of the exits",
    (index) => item(index + 1) + item(index + 2) === (length - index - 3) / 3 && item(index) > 0,
    4,
    1,
  );
}

/** From the frame of `standStill`: fp is where its own address stands 16 below. */
function registers(search: Search): number {
  const { heap, scene } = search;
  const wanted = ["one", "two", "three"].map((name) => search.at(name));
  const closure = search.at("standStill");
  for (let at = scene.sp; at < scene.sp + 65_536; at += 8) {
    if (heap.taggedAt(at) !== closure) continue;
    const fp = at + 16;
    for (let offset = -40; offset >= -120; offset -= 8) {
      if (wanted.every((address, index) => heap.taggedAt(fp + offset - 8 * index) === address)) {
        return offset;
      }
    }
  }
  throw new Error("the registers of standStill are not found");
}
