/**
 * From a native frame to its caller, by the tables that compilers write for exceptions (DWARF 5
 * section 6.4 as `.eh_frame`, Linux Standard Base "Exception Frames").
 *
 * ```
 *   pc --.eh_frame_hdr (sorted)--> FDE --> CIE
 *        run both programs up to pc --> rules: CFA = register + offset,
 *                                              each saved register at CFA + offset
 * ```
 * Everything read here may be damaged: a table that makes no sense ends the stack, it does not
 * invent a caller.
 */
import { PT_GNU_EH_FRAME } from "./elf.ts";
import { Expression } from "./dwarf-expression.ts";
import { DwarfCursor } from "./dwarf-cursor.ts";
import type { Machine, Registers } from "./machine.ts";
import { NotInMemory } from "./memory.ts";
import type { Memory } from "./memory.ts";
import type { Module, Modules } from "./modules.ts";
import type { Target } from "./target.ts";

/** Frames of one thread: deeper is a recursion without end, of which the top is enough. */
const FRAMES_MAX = 20_000;
const INSTRUCTIONS_MAX = 10_000;
const FDE_BYTES_MAX = 64 * 1024;

export interface NativeFrame {
  readonly registers: Registers;
  /** The pc is a return address: what it names is the call before it. */
  readonly isReturn: boolean;
}

interface CommonEntry {
  readonly codeFactor: number;
  readonly dataFactor: number;
  readonly returnColumn: number;
  readonly pointerEncoding: number;
  readonly hasAugmentation: boolean;
  readonly isSignalFrame: boolean;
  readonly program: Buffer;
  /** Address of the program, for relative pointers. */
  readonly programAt: number;
}

type Rule =
  | { readonly kind: "offset"; readonly offset: number }
  | { readonly kind: "value"; readonly offset: number }
  | { readonly kind: "register"; readonly register: number }
  | { readonly kind: "expression"; readonly expression: Buffer; readonly isValue: boolean }
  | { readonly kind: "undefined" };

interface Row {
  cfaRegister: number;
  cfaOffset: number;
  cfaExpression: Buffer | null;
  rules: Map<number, Rule>;
}

interface FrameTable {
  readonly row: Row;
  readonly common: CommonEntry;
}

/**
 * The native frames of a thread from its registers on, as far as tables lead: up to code that has
 * none, such as what V8 has compiled.
 */
export function* unwindNative(target: Target, registers: Registers): Generator<NativeFrame> {
  let frame: NativeFrame | null = { registers, isReturn: false };
  for (let count = 0; frame !== null && count < FRAMES_MAX; count += 1) {
    yield frame;
    frame = callerOf(target, frame);
  }
}

/** The caller of a native frame; null: no table for its pc, or the end of the stack. */
export function callerOf(
  { machine, memory, modules }: Pick<Target, "machine" | "memory" | "modules">,
  { registers, isReturn }: NativeFrame,
): NativeFrame | null {
  try {
    const table = tableFor(modules, registers.pc - (isReturn ? 1 : 0));
    if (table === null) return null;
    const caller = apply(table, machine, memory, registers);
    if (caller === null) return null;
    // a caller's frame lies above; the same place again would be a loop
    if (caller.sp <= registers.sp && !(caller.sp === registers.sp && caller.pc !== registers.pc)) {
      return null;
    }
    return { registers: caller, isReturn: !table.common.isSignalFrame };
  } catch (error) {
    if (error instanceof NotInMemory || error instanceof RangeError) return null;
    throw error;
  }
}

function apply(
  { row, common }: FrameTable,
  machine: Machine,
  memory: Memory,
  registers: Registers,
): Registers | null {
  const nameOf = (column: number): string | undefined => machine.dwarf[column];
  const valueOf = (column: number): number | undefined => {
    const name = nameOf(column);
    return name === undefined ? undefined : registers.byName.get(name);
  };
  const expression = new Expression(memory, valueOf);
  const base = valueOf(row.cfaRegister);
  const cfa =
    row.cfaExpression === null
      ? base === undefined
        ? undefined
        : base + row.cfaOffset
      : expression.evaluate(row.cfaExpression, null);
  if (cfa === undefined || cfa <= 0) return null;
  // what no rule mentions is unchanged, but only the callee-saved ones are: the rest is not known
  const byName = new Map(registers.byName);
  for (const [column, rule] of row.rules) {
    const name = nameOf(column);
    if (name === undefined) continue;
    const value = ruleValue(rule, cfa, memory, valueOf, expression);
    if (value === undefined) byName.delete(name);
    else byName.set(name, value);
  }
  byName.set(machine.sp, cfa);
  const returnName = nameOf(common.returnColumn);
  const pc = returnName === undefined ? undefined : byName.get(returnName);
  if (pc === undefined || pc === 0) return null;
  if (row.rules.get(common.returnColumn)?.kind === "undefined") return null;
  byName.set(machine.pc, pc);
  return { pc, sp: cfa, fp: byName.get(machine.fp) ?? null, byName, words: null };
}

function ruleValue(
  rule: Rule,
  cfa: number,
  memory: Memory,
  valueOf: (column: number) => number | undefined,
  expression: Expression,
): number | undefined {
  switch (rule.kind) {
    case "offset":
      return memory.word(cfa + rule.offset);
    case "value":
      return cfa + rule.offset;
    case "register":
      return valueOf(rule.register);
    case "expression": {
      const value = expression.evaluate(rule.expression, cfa);
      return value === undefined || rule.isValue ? value : memory.word(value);
    }
    case "undefined":
      return undefined;
  }
}

/** The rules that hold at an address of the process; null: no table covers it. */
function tableFor(modules: Modules, address: number): FrameTable | null {
  const located = modules.locate(address);
  if (located === null) return null;
  const { module, fileAddress } = located;
  const at = findEntry(module, fileAddress);
  return at === null ? null : readEntry(module, at, fileAddress);
}

/** Bytes of a module by the addresses of its file. */
function bytesAt({ elf }: Module, fileAddress: number, length: number): Buffer {
  const offset = elf.offsetOf(fileAddress);
  return offset === null ? Buffer.alloc(0) : elf.source.slice(offset, length);
}

/** The address of the FDE for an address, by bisection of `.eh_frame_hdr`. */
function findEntry(module: Module, fileAddress: number): number | null {
  const header = module.elf.programs.find(({ type }) => type === PT_GNU_EH_FRAME);
  if (header === undefined) return null;
  const start = bytesAt(module, header.address, 20);
  // version, encodings of: pointer to .eh_frame, count, table (pairs, relative to the header)
  if (start.length < 12 || start[0] !== 1 || start[3] !== 0x3b) return null;
  const cursor = new DwarfCursor(start, header.address);
  cursor.skip(4);
  cursor.pointer(start[1] as number, header.address);
  const count = cursor.pointer(start[2] as number, header.address);
  const table = header.address + cursor.at;
  let low = 0;
  let high = Math.min(count, Math.floor(header.memoryBytes / 8));
  while (low < high) {
    const middle = (low + high) >>> 1;
    const pair = bytesAt(module, table + 8 * middle, 4);
    if (pair.length < 4) return null;
    if (header.address + pair.readInt32LE(0) <= fileAddress) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return null;
  const pair = bytesAt(module, table + 8 * (low - 1), 8);
  return pair.length < 8 ? null : header.address + pair.readInt32LE(4);
}

function readEntry(module: Module, at: number, fileAddress: number): FrameTable | null {
  const length = bytesAt(module, at, 4);
  if (length.length < 4) return null;
  const bytes = bytesAt(module, at + 4, Math.min(length.readUInt32LE(0), FDE_BYTES_MAX));
  if (bytes.length < 12) return null;
  const common = readCommon(module, at + 4 - bytes.readUInt32LE(0));
  if (common === null) return null;
  const cursor = new DwarfCursor(bytes, at + 4);
  cursor.skip(4);
  const begin = cursor.pointer(common.pointerEncoding, 0);
  const size = cursor.pointer(common.pointerEncoding & 0x0f, 0);
  if (fileAddress < begin || fileAddress >= begin + size) return null;
  if (common.hasAugmentation) cursor.skip(cursor.unsigned());
  const row: Row = { cfaRegister: 0, cfaOffset: 0, cfaExpression: null, rules: new Map() };
  run(new DwarfCursor(common.program, common.programAt), row, common, null, fileAddress, 0);
  const initial = new Map(row.rules);
  run(cursor, row, common, initial, fileAddress, begin);
  return { row, common };
}

function readCommon(module: Module, at: number): CommonEntry | null {
  const length = bytesAt(module, at, 4);
  if (length.length < 4) return null;
  const bytes = bytesAt(module, at + 4, Math.min(length.readUInt32LE(0), FDE_BYTES_MAX));
  if (bytes.length < 8 || bytes.readUInt32LE(0) !== 0) return null;
  const cursor = new DwarfCursor(bytes, at + 4);
  cursor.skip(4);
  const version = cursor.u8();
  const augmentation = cursor.text();
  const codeFactor = cursor.unsigned();
  const dataFactor = cursor.signed();
  const returnColumn = version === 1 ? cursor.u8() : cursor.unsigned();
  let pointerEncoding = 0;
  const hasAugmentation = augmentation.startsWith("z");
  if (hasAugmentation) {
    const end = cursor.unsigned() + cursor.at;
    for (const letter of augmentation.slice(1)) {
      if (letter === "R") pointerEncoding = cursor.u8();
      else if (letter === "L") cursor.skip(1);
      else if (letter === "P") cursor.pointer(cursor.u8() & 0x7f, 0);
    }
    cursor.skip(end - cursor.at);
  }
  return {
    codeFactor,
    dataFactor,
    returnColumn,
    pointerEncoding,
    hasAugmentation,
    isSignalFrame: augmentation.includes("S"),
    program: bytes.subarray(cursor.at),
    programAt: at + 4 + cursor.at,
  };
}

/** Runs a program of call frame instructions (DWARF 5, 6.4.2) until it passes `target`. */
function run(
  cursor: DwarfCursor,
  row: Row,
  common: CommonEntry,
  initial: ReadonlyMap<number, Rule> | null,
  target: number,
  begin: number,
): void {
  let location = begin;
  const saved: Row[] = [];
  const at = (register: number, factored: number): void => {
    row.rules.set(register, { kind: "offset", offset: factored * common.dataFactor });
  };
  for (let count = 0; !cursor.isAtEnd && count < INSTRUCTIONS_MAX; count += 1) {
    const byte = cursor.u8();
    const low = byte & 0x3f;
    if (byte >>> 6 === 1) location += low * common.codeFactor;
    else if (byte >>> 6 === 2) at(low, cursor.unsigned());
    else if (byte >>> 6 === 3) restore(row, initial, low);
    else if (low === 0x01) location = cursor.pointer(common.pointerEncoding, 0);
    else if (low === 0x02) location += cursor.u8() * common.codeFactor;
    else if (low === 0x03) location += cursor.u16() * common.codeFactor;
    else if (low === 0x04) location += cursor.u32() * common.codeFactor;
    else if (low === 0x05) at(cursor.unsigned(), cursor.unsigned());
    else if (low === 0x06) restore(row, initial, cursor.unsigned());
    else if (low === 0x07) row.rules.set(cursor.unsigned(), { kind: "undefined" });
    else if (low === 0x08) row.rules.delete(cursor.unsigned());
    else if (low === 0x09) {
      const register = cursor.unsigned();
      row.rules.set(register, { kind: "register", register: cursor.unsigned() });
    } else if (low === 0x0a) saved.push({ ...row, rules: new Map(row.rules) });
    else if (low === 0x0b) restoreRow(row, saved.pop());
    else if (low === 0x0c) setCfa(row, cursor.unsigned(), cursor.unsigned());
    else if (low === 0x0d) setCfa(row, cursor.unsigned(), row.cfaOffset);
    else if (low === 0x0e) setCfa(row, row.cfaRegister, cursor.unsigned());
    else if (low === 0x0f) row.cfaExpression = cursor.block();
    else if (low === 0x10 || low === 0x16) {
      const register = cursor.unsigned();
      const expression = cursor.block();
      row.rules.set(register, { kind: "expression", expression, isValue: low === 0x16 });
    } else if (low === 0x11) at(cursor.unsigned(), cursor.signed());
    else if (low === 0x12) setCfa(row, cursor.unsigned(), cursor.signed() * common.dataFactor);
    else if (low === 0x13) setCfa(row, row.cfaRegister, cursor.signed() * common.dataFactor);
    else if (low === 0x14 || low === 0x15) {
      const register = cursor.unsigned();
      const factored = low === 0x14 ? cursor.unsigned() : cursor.signed();
      row.rules.set(register, { kind: "value", offset: factored * common.dataFactor });
    } else if (low === 0x2e) cursor.unsigned(); // DW_CFA_GNU_args_size
    else if (low !== 0x00 && low !== 0x2d) throw new RangeError(`instruction ${byte}`);
    if (location > target) return;
  }
}

function setCfa(row: Row, register: number, offset: number): void {
  row.cfaRegister = register;
  row.cfaOffset = offset;
  row.cfaExpression = null;
}

function restore(row: Row, initial: ReadonlyMap<number, Rule> | null, register: number): void {
  const rule = initial?.get(register);
  if (rule === undefined) row.rules.delete(register);
  else row.rules.set(register, rule);
}

function restoreRow(row: Row, saved: Row | undefined): void {
  if (saved === undefined) throw new RangeError("nothing was remembered");
  Object.assign(row, saved);
}
