/**
 * Objects of V8's heap, read one field at a time. An address may be garbage: what cannot be read is
 * CLEARED, null or "", never an exception, and nothing is followed without a bound.
 */
import { NotInMemory } from "../target/memory.ts";
import type { Memory } from "../target/memory.ts";
import type { Layout } from "./layout.ts";
import { CLEARED, isMovedTo, isSmi, smiValue, taggedFromHalves } from "./tagged.ts";
import type { Tagged } from "./tagged.ts";

/** Nested cons, sliced and thin strings: a log that was put together line by line has many. */
const STRING_PARTS_MAX = 100_000;
/** Bytes of a string that are read for one name or message. */
const STRING_CHARS_MAX = 10_000_000;
const BYTES_MAX = 64 * 1024 * 1024;

type StringShape = "sequential" | "cons" | "external" | "sliced" | "thin" | null;

/** What may still be read of strings: who reads many counts down one such. */
export interface StringBudget {
  parts: number;
  chars: number;
}

export class HeapView {
  readonly memory: Memory;
  readonly layout: Layout;
  readonly #instanceType: number;
  readonly #mapType: number;
  readonly #stringShapes: readonly StringShape[];

  constructor(memory: Memory, layout: Layout) {
    this.memory = memory;
    this.layout = layout;
    this.#instanceType = layout.field("Map", "instance_type");
    this.#mapType = layout.type("MAP_TYPE");
    const shapes: StringShape[] = Array.from({ length: 8 }, () => null);
    shapes[layout.get("SeqStringTag")] = "sequential";
    shapes[layout.get("ConsStringTag")] = "cons";
    shapes[layout.get("ExternalStringTag")] = "external";
    shapes[layout.get("SlicedStringTag")] = "sliced";
    shapes[layout.get("ThinStringTag")] = "thin";
    this.#stringShapes = shapes;
  }

  /** The tagged word at an address; CLEARED when it is not there. */
  taggedAt(address: number): Tagged {
    try {
      return taggedFromHalves(this.memory.u32(address), this.memory.u32(address + 4));
    } catch (error) {
      if (error instanceof NotInMemory) return CLEARED;
      throw error;
    }
  }

  /** A field of an object. */
  tagged(object: Tagged, offset: number): Tagged {
    return object <= 0 ? CLEARED : this.taggedAt(object + offset);
  }

  /** An unsigned integer of a field; 0 when it is not there. */
  unsigned(object: Tagged, offset: number, bytes: 1 | 2 | 4): number {
    if (object <= 0) return 0;
    try {
      if (bytes === 1) return this.memory.u8(object + offset);
      return bytes === 2 ? this.memory.u16(object + offset) : this.memory.u32(object + offset);
    } catch (error) {
      if (error instanceof NotInMemory) return 0;
      throw error;
    }
  }

  /** A 64-bit word of a field; 0 when it is not there. */
  word(object: Tagged, offset: number): number {
    try {
      return object <= 0 ? 0 : this.memory.word(object + offset);
    } catch (error) {
      if (error instanceof NotInMemory) return 0;
      throw error;
    }
  }

  /** The same, exact. */
  bigWord(object: Tagged, offset: number): bigint {
    try {
      return object <= 0 ? 0n : this.memory.bigWord(object + offset);
    } catch (error) {
      if (error instanceof NotInMemory) return 0n;
      throw error;
    }
  }

  double(object: Tagged, offset: number): number {
    try {
      return object <= 0 ? Number.NaN : this.memory.f64(object + offset);
    } catch (error) {
      if (error instanceof NotInMemory) return Number.NaN;
      throw error;
    }
  }

  /** A field that is a Smi. */
  smi(object: Tagged, offset: number): number | null {
    const value = this.tagged(object, offset);
    return isSmi(value) ? smiValue(value) : null;
  }

  /** The map of an object; of one that a collection has just moved, that of its copy. */
  mapOf(object: Tagged): Tagged {
    const map = this.tagged(object, 0);
    if (!isSmi(map)) return map;
    const moved = this.tagged(this.movedTo(object), 0);
    return isSmi(moved) ? CLEARED : moved;
  }

  /**
   * Where a collection that is under way has moved an object: its first word is the address of the
   * copy, without a tag (V8: MapWord::FromForwardingAddress). CLEARED: nowhere.
   */
  movedTo(object: Tagged): Tagged {
    const low = this.unsigned(object, 0, 4);
    return isMovedTo(low) ? this.unsigned(object, 4, 4) * 0x1_0000_0000 + low : CLEARED;
  }

  /** A map's own map is a meta map: one whose instances are maps, itself among them. */
  isMap(map: Tagged): boolean {
    const meta = this.mapOf(map);
    if (meta <= 0 || this.unsigned(meta, this.#instanceType, 2) !== this.#mapType) return false;
    return this.mapOf(meta) === meta;
  }

  /** The instance type of an object; -1 when it has no map that looks like one. */
  instanceTypeOf(object: Tagged): number {
    if (object <= 0) return -1;
    const map = this.mapOf(object);
    return this.isMap(map) ? this.unsigned(map, this.#instanceType, 2) : -1;
  }

  isOfType(object: Tagged, type: string): boolean {
    return this.instanceTypeOf(object) === this.layout.type(type);
  }

  isString(object: Tagged): boolean {
    const type = this.instanceTypeOf(object);
    return type >= 0 && type < this.layout.get("FirstNonstringType");
  }

  isFunction(object: Tagged): boolean {
    const type = this.instanceTypeOf(object);
    const { layout } = this;
    return type >= layout.get("FirstJSFunctionType") && type <= layout.get("LastJSFunctionType");
  }

  /** Contexts of all kinds. */
  isContext(object: Tagged): boolean {
    const type = this.instanceTypeOf(object);
    return (
      type >= this.layout.get("FirstContextType") && type <= this.layout.get("LastContextType")
    );
  }

  /** Length of a FixedArray or one of its kin; 0 when it is not sane. */
  arrayLength(array: Tagged): number {
    const length = this.smi(array, this.layout.field("FixedArrayBase", "length")) ?? 0;
    return length < 0 || length > BYTES_MAX / 8 ? 0 : length;
  }

  arrayItem(array: Tagged, index: number): Tagged {
    return this.tagged(array, this.layout.field("FixedArray", "data") + 8 * index);
  }

  /** The content of a ByteArray; empty when it is not there. */
  byteArray(array: Tagged): Buffer {
    const length = this.smi(array, this.layout.field("FixedArrayBase", "length")) ?? 0;
    if (array <= 0 || length <= 0 || length > BYTES_MAX) return Buffer.alloc(0);
    return (
      this.memory.read(array + this.layout.field("FixedArray", "data"), length) ?? Buffer.alloc(0)
    );
  }

  /** Characters that the string says it has. */
  stringLength(string: Tagged): number {
    return this.unsigned(string, this.layout.field("String", "length"), 4);
  }

  /**
   * The text of a string of any representation.
   *
   * @param charsMax more than that are cut off
   * @returns null when this is no string, or part of it is not there
   */
  string(
    string: Tagged,
    charsMax = STRING_CHARS_MAX,
    budget: StringBudget = { parts: STRING_PARTS_MAX, chars: STRING_CHARS_MAX },
  ): string | null {
    const parts: string[] = [];
    const pending: { value: Tagged; start: number; end: number }[] = [
      { value: string, start: 0, end: Number.MAX_SAFE_INTEGER },
    ];
    let chars = 0;
    while (pending.length > 0 && chars < charsMax) {
      const part = pending.pop();
      if (part === undefined || budget.parts <= 0 || budget.chars <= 0) return null;
      budget.parts -= 1;
      const { value } = part;
      if (!this.isString(value)) return null;
      const end = Math.min(part.end, this.stringLength(value), part.start + charsMax - chars);
      if (end <= part.start) continue;
      const flat = this.#expand(value, part.start, end, pending);
      if (flat === null) return null;
      parts.push(flat);
      chars += flat.length;
      budget.chars -= flat.length;
    }
    return parts.join("");
  }

  /** Whether a string of this type is put together of two others. */
  isConcatenation(instanceType: number): boolean {
    const { layout } = this;
    const shape = this.#stringShapes[instanceType & layout.get("StringRepresentationMask")];
    return instanceType < layout.get("FirstNonstringType") && shape === "cons";
  }

  /** Characters [start, end) of a flat string; of another one, "" with its parts in `pending`. */
  #expand(
    value: Tagged,
    start: number,
    end: number,
    pending: { value: Tagged; start: number; end: number }[],
  ): string | null {
    const { layout } = this;
    const type = this.instanceTypeOf(value);
    const shape = this.#stringShapes[type & layout.get("StringRepresentationMask")] ?? null;
    const isOneByte = (type & layout.get("StringEncodingMask")) === layout.get("OneByteStringTag");
    switch (shape) {
      case "sequential":
        return this.#chars(
          value + layout.field("SeqOneByteString", "chars"),
          start,
          end,
          isOneByte,
        );
      case "external": {
        const resourceData = this.word(value, layout.field("ExternalString", "resource") + 8);
        return this.#chars(resourceData, start, end, isOneByte);
      }
      case "thin":
        pending.push({
          value: this.tagged(value, layout.field("ThinString", "actual")),
          start,
          end,
        });
        return "";
      case "sliced": {
        const offset = this.smi(value, layout.field("SlicedString", "offset")) ?? 0;
        const parent = this.tagged(value, layout.field("SlicedString", "parent"));
        pending.push({ value: parent, start: start + offset, end: end + offset });
        return "";
      }
      case "cons": {
        const first = this.tagged(value, layout.field("ConsString", "first"));
        const second = this.tagged(value, layout.field("ConsString", "second"));
        const split = this.stringLength(first);
        if (end > split) {
          pending.push({ value: second, start: Math.max(0, start - split), end: end - split });
        }
        if (start < split) pending.push({ value: first, start, end: Math.min(end, split) });
        return "";
      }
      case null:
        return null;
    }
  }

  #chars(address: number, start: number, end: number, isOneByte: boolean): string | null {
    const width = isOneByte ? 1 : 2;
    const bytes = this.memory.read(address + start * width, (end - start) * width);
    return bytes === null ? null : bytes.toString(isOneByte ? "latin1" : "utf16le");
  }
}
