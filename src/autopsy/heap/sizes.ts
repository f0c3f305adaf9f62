/**
 * How many bytes an object takes: from its map, or, where that says 0, from a length in the object.
 *
 * | kind | words before the elements | element |
 * | --- | --- | --- |
 * | FixedArray and its kin (hash tables, contexts, lists) | map, length | 8 |
 * | ByteArray, BytecodeArray, sequential strings | their headers | 1 or 2 |
 * | DescriptorArray | map, counts, caches | 24 |
 *
 * Sources: the `SizeFor` functions of V8's src/objects (12.4, 13.6, 14.6).
 */
import type { Layout } from "../v8/layout.ts";

/** Where a length is and what it counts. */
interface Sized {
  readonly lengthAt: number;
  readonly lengthKind: "smi" | "u32" | "u16";
  /** Bits of the length that count. */
  readonly lengthMask: number;
  readonly headerBytes: number;
  readonly elementBytes: number;
}

const OBJECT_BYTES_MAX = 8 * 2 ** 30;

/** The size of an object is not known from its type: the next object tells where it ends. */
export const UNKNOWN_SIZE = -1;

/** Reads 32-bit words of the page that is walked. */
export type WordAt = (address: number) => number;

export class SizeTable {
  readonly #sized = new Map<number, Sized>();
  readonly #oneByteStrings: Sized;
  readonly #twoByteStrings: Sized;
  readonly #firstNonString: number;
  readonly #representationMask: number;
  readonly #encodingMask: number;

  constructor(layout: Layout) {
    this.#firstNonString = layout.get("FirstNonstringType");
    this.#representationMask = layout.get("StringRepresentationMask");
    this.#encodingMask = layout.get("StringEncodingMask");
    const chars = layout.field("SeqOneByteString", "chars");
    const length = layout.field("String", "length");
    this.#oneByteStrings = sized("u32", length, chars, 1);
    this.#twoByteStrings = sized("u32", length, chars, 2);
    this.#addArrays(layout);
    this.#addOthers(layout);
  }

  /** Bytes of the object at `address`; UNKNOWN_SIZE when its type does not tell. */
  bytesOf(address: number, instanceType: number, instanceBytes: number, u32: WordAt): number {
    if (instanceBytes > 0) return instanceBytes;
    const rule =
      instanceType < this.#firstNonString
        ? this.#string(instanceType)
        : this.#sized.get(instanceType);
    if (rule === undefined) return UNKNOWN_SIZE;
    const word = u32(address + (rule.lengthAt & ~3) + (rule.lengthKind === "smi" ? 4 : 0));
    const raw = rule.lengthKind === "u16" ? (word >>> (8 * (rule.lengthAt & 3))) & 0xffff : word;
    const bytes = rule.headerBytes + (raw & rule.lengthMask) * rule.elementBytes;
    return raw >>> 31 === 1 || bytes > OBJECT_BYTES_MAX ? UNKNOWN_SIZE : Math.ceil(bytes / 8) * 8;
  }

  #string(instanceType: number): Sized | undefined {
    if ((instanceType & this.#representationMask) !== 0) return undefined; // fixed, by its map
    const isOneByte = (instanceType & this.#encodingMask) !== 0;
    return isOneByte ? this.#oneByteStrings : this.#twoByteStrings;
  }

  #addArrays(layout: Layout): void {
    const length = layout.field("FixedArrayBase", "length");
    const data = layout.field("FixedArray", "data");
    const array = sized("smi", length, data, 8);
    const first = layout.type("FIXED_ARRAY_TYPE");
    // hash tables of all kinds lie between FixedArray and ByteArray (or the contexts before it)
    const bytes = layout.type("BYTE_ARRAY_TYPE");
    for (let type = first; type < bytes; type += 1) this.#sized.set(type, array);
    for (
      let type = layout.get("FirstContextType");
      type <= layout.get("LastContextType");
      type += 1
    ) {
      this.#sized.set(type, array);
    }
    const weak = layout.type("WEAK_FIXED_ARRAY_TYPE");
    this.#sized.set(weak, array);
    this.#sized.set(weak + 1, array); // TRANSITION_ARRAY_TYPE, which the metadata leaves out
    for (const name of [
      "CLOSURE_FEEDBACK_CELL_ARRAY_TYPE",
      "PROTECTED_FIXED_ARRAY_TYPE",
      "PROTECTED_WEAK_FIXED_ARRAY_TYPE",
      "TRUSTED_FIXED_ARRAY_TYPE",
      "TRUSTED_WEAK_FIXED_ARRAY_TYPE",
      "EMBEDDER_DATA_ARRAY_TYPE",
    ]) {
      this.#set(layout, name, array);
    }
    // ten kinds of contexts in alphabetical order; the native one ends with its microtask queue
    this.#sized.set(layout.get("FirstContextType") + 7, sized("smi", length, data + 8, 8));
    this.#set(layout, "ARRAY_LIST_TYPE", sized("smi", length, data + 8, 8));
    this.#set(layout, "SCRIPT_CONTEXT_TABLE_TYPE", sized("smi", length, data + 16, 8));
    this.#set(layout, "OBJECT_BOILERPLATE_DESCRIPTION_TYPE", sized("smi", length, data + 16, 8));
    this.#set(layout, "SLOPPY_ARGUMENTS_ELEMENTS_TYPE", sized("smi", length, data + 16, 8));
    this.#set(layout, "WEAK_ARRAY_LIST_TYPE", sized("smi", length, data + 8, 8));
    const propertyArray = { ...array, lengthMask: 0x3ff };
    this.#set(layout, "PROPERTY_ARRAY_TYPE", propertyArray);
  }

  #addOthers(layout: Layout): void {
    const length = layout.field("FixedArrayBase", "length");
    const data = layout.field("FixedArray", "data");
    this.#set(layout, "BYTE_ARRAY_TYPE", sized("smi", length, data, 1));
    this.#set(layout, "TRUSTED_BYTE_ARRAY_TYPE", sized("smi", length, data, 1));
    this.#set(layout, "FIXED_DOUBLE_ARRAY_TYPE", sized("smi", length, data, 8));
    const code = layout.field("BytecodeArray", "data");
    this.#set(layout, "BYTECODE_ARRAY_TYPE", sized("smi", length, code, 1));
    const header = layout.field("DescriptorArray", "header_size");
    this.#set(layout, "DESCRIPTOR_ARRAY_TYPE", sized("u16", 8, header, 24));
    this.#set(layout, "STRONG_DESCRIPTOR_ARRAY_TYPE", sized("u16", 8, header, 24));
    // the metadata leaves out: BigInt, behind Symbol (bigint.h: bits 1 to 30 count the digits)
    const bigint = layout.type("SYMBOL_TYPE") + 1;
    this.#sized.set(bigint, { ...sized("u32", 8, 16, 4), lengthMask: 0x7fff_fffe });
    // feedback-vector.tq: the slots stand behind seven words in 12.4, six since
    const slots = Number.parseInt(layout.version, 10) >= 13 ? 48 : 56;
    this.#set(layout, "FEEDBACK_VECTOR_TYPE", sized("u32", 8, slots, 8));
    // FreeSpace, behind FeedbackVector and Filler: bytes in 12.4, words since
    const freeSpace = layout.type("FEEDBACK_VECTOR_TYPE") + 2;
    this.#sized.set(freeSpace, sized("smi", 8, 0, layout.stated.freeSpaceUnit));
  }

  #set(layout: Layout, name: string, rule: Sized): void {
    const type = layout.findType(name);
    if (type !== null) this.#sized.set(type, rule);
  }
}

function sized(
  lengthKind: Sized["lengthKind"],
  lengthAt: number,
  headerBytes: number,
  elementBytes: number,
): Sized {
  return { lengthAt, lengthKind, lengthMask: 0x7fff_ffff, headerBytes, elementBytes };
}
