/**
 * Values of arguments and variables: where a translation or a frame says that they lie, and what is
 * there. What cannot be known is said to be so.
 */
import { NotInMemory } from "../target/memory.ts";
import type { Machine, Registers } from "../target/machine.ts";
import type { Memory } from "../target/memory.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { CLEARED, taggedFromHalves } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import type { DeoptimizationData } from "./code-objects.ts";
import type { TranslatedFrame, TranslatedValue, ValueType } from "./translations.ts";

/** x64's general registers in the order of their codes. */
const REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(" ");
const CALLER_SP = 16;
const WORD = 8;
const DEPTH_MAX = 8;

export type FrameValue =
  | { readonly kind: "tagged"; readonly tagged: Tagged }
  | { readonly kind: "number"; readonly number: number }
  | { readonly kind: "bigint"; readonly bigint: bigint }
  | { readonly kind: "boolean"; readonly boolean: boolean }
  /** A concatenation that was never made. */
  | { readonly kind: "concat"; readonly parts: readonly FrameValue[] }
  /** An object that was never made: its map, and its fields from the second word on. */
  | { readonly kind: "object"; readonly map: Tagged; readonly fields: readonly FrameValue[] }
  /** V8 has thrown it away, or it is where nobody can see it. */
  | { readonly kind: "unknown"; readonly why: "optimised away" | "not recoverable" };

export const OPTIMISED_AWAY: FrameValue = { kind: "unknown", why: "optimised away" };
export const NOT_RECOVERABLE: FrameValue = { kind: "unknown", why: "not recoverable" };

export interface ValueSource {
  readonly heap: HeapView;
  readonly fp: number;
  /** Registers that belong to this frame; null: it called something, and they are gone. */
  readonly registers: Registers | null;
  readonly machine: Machine;
  readonly data: DeoptimizationData;
  /** Frames of the translation, for objects that are mentioned again. */
  readonly frames: readonly TranslatedFrame[];
}

/** What is in a slot of the frame, by V8's numbering (`StackSlotOffsetRelativeToFp`). */
function slotAddress(fp: number, slot: number): number {
  return fp + CALLER_SP - (slot + 1) * WORD;
}

function readSlot(memory: Memory, heap: HeapView, address: number, as: ValueType): FrameValue {
  try {
    switch (as) {
      case "tagged": {
        const tagged = heap.taggedAt(address);
        return tagged === CLEARED ? NOT_RECOVERABLE : { kind: "tagged", tagged };
      }
      case "bool":
        return { kind: "boolean", boolean: memory.u32(address) !== 0 };
      case "int32":
        return { kind: "number", number: memory.i32(address) };
      case "uint32":
        return { kind: "number", number: memory.u32(address) };
      case "int64":
        return { kind: "number", number: Number(BigInt.asIntN(64, memory.bigWord(address))) };
      case "bigint64":
        return { kind: "bigint", bigint: BigInt.asIntN(64, memory.bigWord(address)) };
      case "biguint64":
        return { kind: "bigint", bigint: memory.bigWord(address) };
      case "double":
      case "holey double":
        return { kind: "number", number: memory.f64(address) };
      case "float":
      case "simd":
        return NOT_RECOVERABLE;
    }
  } catch (error) {
    if (error instanceof NotInMemory) return NOT_RECOVERABLE;
    throw error;
  }
}

/** The 64 bits of a register; null when they are not known exactly. */
function registerBits({ registers, machine }: ValueSource, name: string): bigint | null {
  const index = machine.registers.indexOf(name);
  const words = registers?.words;
  if (index < 0 || words === null || words === undefined) return null;
  return 8 * index + 8 > words.length ? null : words.readBigUInt64LE(8 * index);
}

function fromRegister(bits: bigint | null, as: ValueType): FrameValue {
  if (bits === null) return NOT_RECOVERABLE;
  const low = Number(bits & 0xffff_ffffn);
  switch (as) {
    case "tagged":
      return { kind: "tagged", tagged: taggedFromHalves(low, Number(bits >> 32n)) };
    case "int32":
      return { kind: "number", number: low | 0 };
    case "uint32":
      return { kind: "number", number: low };
    case "bool":
      return { kind: "boolean", boolean: low !== 0 };
    case "int64":
      return { kind: "number", number: Number(BigInt.asIntN(64, bits)) };
    case "bigint64":
      return { kind: "bigint", bigint: BigInt.asIntN(64, bits) };
    case "biguint64":
      return { kind: "bigint", bigint: bits };
    case "float":
    case "double":
    case "holey double":
    case "simd":
      return NOT_RECOVERABLE;
  }
}

function findObject(values: readonly TranslatedValue[], id: number): TranslatedValue | null {
  for (const value of values) {
    if (value.kind === "object" || value.kind === "concat") {
      if (value.id === id) return value;
      const inner = findObject(value.kind === "object" ? value.fields : value.parts, id);
      if (inner !== null) return inner;
    }
    if (value.kind === "arguments" && value.id === id) return value;
  }
  return null;
}

/** What a value of a translation is in this frame. */
export function resolveValue(source: ValueSource, value: TranslatedValue, depth = 0): FrameValue {
  const { heap, fp, data } = source;
  if (depth > DEPTH_MAX) return NOT_RECOVERABLE;
  switch (value.kind) {
    case "literal": {
      const tagged = data.literal(value.index);
      return tagged === CLEARED ? NOT_RECOVERABLE : { kind: "tagged", tagged };
    }
    case "slot":
      return readSlot(heap.memory, heap, slotAddress(fp, value.slot), value.as);
    case "register": {
      const name = REGISTERS[value.code];
      if (name === undefined) return NOT_RECOVERABLE;
      return fromRegister(registerBits(source, name), value.as);
    }
    case "concat":
      return {
        kind: "concat",
        parts: value.parts.map((part) => resolveValue(source, part, depth + 1)),
      };
    case "object": {
      const [map, ...fields] = value.fields.map((field) => resolveValue(source, field, depth + 1));
      if (map?.kind !== "tagged") return OPTIMISED_AWAY;
      return { kind: "object", map: map.tagged, fields };
    }
    case "same": {
      const values = source.frames.flatMap((frame) => frame.values);
      const original = findObject(values, value.id);
      return original === null ? OPTIMISED_AWAY : resolveValue(source, original, depth + 1);
    }
    case "arguments":
    case "unknown":
      return OPTIMISED_AWAY;
  }
}
