/**
 * What V8 keeps inside the objects of the language's own classes: entries of Map and Set, the state
 * of a promise, bytes of a buffer, time of a date. One function for each, by the object's address.
 *
 * Offsets that the metadata does not have are in the table of the version (layout-table.ts).
 */
import type { HeapView } from "./heap-view.ts";
import type { ObjectReader } from "./objects.ts";
import { CLEARED, isSmi, smiValue } from "./tagged.ts";
import type { Tagged } from "./tagged.ts";

const PROMISE_STATUS_MASK = 3;
/** In the order of `regExpBits`. */
const REGEXP_LETTERS = ["d", "g", "i", "m", "s", "u", "v", "y"];
const SYMBOL_TYPE_TO_BIGINT = 1;
const BIGINT_DIGITS_MAX = 1_024;
const ENTRIES_MAX = 1_000_000;

export type PromiseState = "pending" | "fulfilled" | "rejected";

export interface ByteRange {
  /** Where the bytes are; 0: nowhere, the buffer was detached. */
  readonly address: number;
  readonly bytes: number;
}

export interface Entry {
  readonly key: Tagged;
  readonly value: Tagged;
}

/** Reads the inside of built-in objects. The caller has looked at the instance type. */
export class ValueReader {
  readonly #heap: HeapView;
  readonly #objects: ObjectReader;

  constructor(objects: ObjectReader) {
    this.#heap = objects.heap;
    this.#objects = objects;
  }

  /** Entries of a Map, in order. */
  *mapEntries(map: Tagged): Generator<Entry> {
    for (const [key, value] of this.#ordered(map, 3)) yield { key, value };
  }

  /** Values of a Set, in order. */
  *setValues(set: Tagged): Generator<Tagged> {
    for (const [key] of this.#ordered(set, 2)) yield key;
  }

  /** Entries of a WeakMap or WeakSet whose keys still live. */
  *weakEntries(collection: Tagged): Generator<Entry> {
    const heap = this.#heap;
    const { collectionTable, hashHeader } = heap.layout.stated;
    const table = heap.tagged(collection, collectionTable);
    const length = Math.min(heap.arrayLength(table), ENTRIES_MAX);
    for (let index = hashHeader; index + 1 < length; index += 2) {
      const key = heap.arrayItem(table, index);
      const isKey = this.#objects.isReceiver(key) || heap.isOfType(key, "SYMBOL_TYPE");
      if (!isSmi(key) && isKey) yield { key, value: heap.arrayItem(table, index + 1) };
    }
  }

  /** What a WeakRef refers to; CLEARED when it is gone. */
  weakTarget(weakRef: Tagged): Tagged {
    return this.#heap.tagged(weakRef, this.#heap.layout.stated.weakRefTarget);
  }

  promise(promise: Tagged): { readonly state: PromiseState; readonly value: Tagged } {
    const { promiseFlags, promiseReactionsOrResult } = this.#heap.layout.stated;
    const status = (this.#heap.smi(promise, promiseFlags) ?? 0) & PROMISE_STATUS_MASK;
    const state = status === 1 ? "fulfilled" : status === 2 ? "rejected" : "pending";
    return { state, value: this.#heap.tagged(promise, promiseReactionsOrResult) };
  }

  arrayBuffer(buffer: Tagged): ByteRange {
    const heap = this.#heap;
    const { layout } = heap;
    return {
      address: heap.word(buffer, layout.field("JSArrayBuffer", "backing_store")),
      bytes: heap.word(buffer, layout.field("JSArrayBuffer", "byte_length")),
    };
  }

  /** The bytes of a typed array or Buffer; small ones lie in the heap. */
  typedArray(view: Tagged): ByteRange {
    const heap = this.#heap;
    const { layout } = heap;
    const external = heap.bigWord(view, layout.field("JSTypedArray", "external_pointer"));
    const base = heap.tagged(view, layout.field("JSTypedArray", "base_pointer"));
    // on the heap the external pointer is an offset from the tagged base
    const address = isSmi(base) || base === CLEARED ? external : external + BigInt(base + 1);
    return {
      address: Number(BigInt.asUintN(64, address)),
      bytes: heap.word(view, layout.field("JSArrayBufferView", "byte_length")),
    };
  }

  /** A DataView's part of its buffer. */
  dataView(view: Tagged): ByteRange {
    const heap = this.#heap;
    const { layout } = heap;
    const buffer = this.arrayBuffer(heap.tagged(view, layout.stated.dataViewBuffer));
    const offset = heap.word(view, layout.field("JSArrayBufferView", "byte_offset"));
    const bytes = heap.word(view, layout.field("JSArrayBufferView", "byte_length"));
    return { address: buffer.address + offset, bytes };
  }

  /** Milliseconds since 1970, or NaN. */
  date(date: Tagged): number {
    const heap = this.#heap;
    const at = heap.layout.field("JSDate", "value");
    if (heap.layout.stated.isDateDouble === 1) return heap.double(date, at);
    return this.#objects.number(heap.tagged(date, at)) ?? Number.NaN;
  }

  regExp(regExp: Tagged): string {
    const heap = this.#heap;
    const { regExpSource, regExpFlags, regExpBits } = heap.layout.stated;
    const source = heap.string(heap.tagged(regExp, regExpSource)) ?? "?";
    const bits = heap.smi(regExp, regExpFlags) ?? 0;
    const flags = REGEXP_LETTERS.filter((_, index) => (bits & (regExpBits[index] ?? 0)) !== 0);
    return `/${source}/${flags.join("")}`;
  }

  /** The value in a Number, String, Boolean, Symbol or BigInt object. */
  wrapped(wrapper: Tagged): Tagged {
    return this.#heap.tagged(wrapper, this.#heap.layout.stated.wrappedValue);
  }

  bound(boundFunction: Tagged): {
    readonly target: Tagged;
    readonly receiver: Tagged;
    readonly args: readonly Tagged[];
  } {
    const heap = this.#heap;
    const { boundTarget, boundReceiver, boundArgs } = heap.layout.stated;
    const args = heap.tagged(boundFunction, boundArgs);
    const count = Math.min(heap.arrayLength(args), 1_000);
    return {
      target: heap.tagged(boundFunction, boundTarget),
      receiver: heap.tagged(boundFunction, boundReceiver),
      args: Array.from({ length: count }, (_, index) => heap.arrayItem(args, index)),
    };
  }

  isBigInt(value: Tagged): boolean {
    const { layout } = this.#heap;
    return this.#heap.instanceTypeOf(value) === layout.type("SYMBOL_TYPE") + SYMBOL_TYPE_TO_BIGINT;
  }

  /** Null when it has more digits than anybody reads. */
  bigint(value: Tagged): bigint | null {
    const heap = this.#heap;
    const bits = heap.unsigned(value, heap.layout.stated.bigintBits, 4);
    const digits = (bits & 0x7fff_fffe) >>> 1;
    if (digits > BIGINT_DIGITS_MAX) return null;
    let result = 0n;
    for (let index = digits - 1; index >= 0; index -= 1) {
      const digit = heap.bigWord(value, heap.layout.stated.bigintDigits + 8 * index);
      result = (result << 64n) | digit;
    }
    return (bits & 1) === 1 ? -result : result;
  }

  /**
   * What a variable in a context holds: since 14.x some are cells (contexts.tq: `ContextCell`),
   * whose number may stand beside the tagged value.
   */
  variable(slot: Tagged): { readonly value: Tagged; readonly number: number | null } {
    const heap = this.#heap;
    const type = heap.layout.findType("CONTEXT_CELL_TYPE");
    if (type === null || isSmi(slot) || heap.instanceTypeOf(slot) !== type) {
      return { value: slot, number: null };
    }
    const { stated } = heap.layout;
    const state = heap.unsigned(slot, stated.contextCellState, 4);
    const value = heap.tagged(slot, stated.contextCellValue);
    const at = stated.contextCellNumber;
    if (state === stated.contextCellInt32) return { value, number: heap.unsigned(slot, at, 4) | 0 };
    const isDouble = state === stated.contextCellFloat64;
    return { value, number: isDouble ? heap.double(slot, at) : null };
  }

  /** The description of a symbol; empty when it has none. */
  symbol(symbol: Tagged): string {
    const heap = this.#heap;
    return heap.string(heap.tagged(symbol, heap.layout.field("Symbol", "name"))) ?? "";
  }

  /** Rows of an ordered hash table; `width`: fields of one, the chain among them. */
  *#ordered(collection: Tagged, width: number): Generator<readonly [Tagged, Tagged]> {
    const heap = this.#heap;
    const { collectionTable, orderedHeader } = heap.layout.stated;
    const table = heap.tagged(collection, collectionTable);
    const length = heap.arrayLength(table);
    const number = (index: number): number => {
      const value = heap.arrayItem(table, index);
      return isSmi(value) ? smiValue(value) : 0;
    };
    const rows = Math.min(number(0) + number(1), ENTRIES_MAX);
    const first = orderedHeader + number(orderedHeader - 1);
    for (let row = 0; row < rows; row += 1) {
      const at = first + row * width;
      if (at + width > length) return;
      const key = heap.arrayItem(table, at);
      if (!isSmi(key) && this.#objects.isHole(key)) continue; // deleted
      yield [key, heap.arrayItem(table, at + 1)];
    }
  }
}
