/**
 * Who refers to an object: every word of every object is looked at. What holds only weakly is told
 * apart, since it keeps nothing alive.
 *
 * ```
 *   Map --table--> (hash table) --entry--> Session       stores of properties, elements, entries
 *   `------------- owner -----------------^              belong to the object that has them
 * ```
 */
import type { MapInfo } from "../heap/maps.ts";
import type { Heap, WalkCounts } from "../heap/walk.ts";
import type { Target } from "../target/target.ts";
import type { Layout } from "../v8/layout.ts";
import { taggedFromHalves } from "../v8/tagged.ts";
import { weakWordsOf } from "./weak-words.ts";
import type { WeakWords } from "./weak-words.ts";

/** An object's body is read in pieces of this size. */
const PIECE_BYTES = 1024 * 1024;
const SMALL_BYTES_MAX = 256;
const PAGE_BYTES = 4096;
const HASH_HEADER_WORDS = 4;

export interface Holder {
  readonly from: number;
  readonly to: number;
  /** Where in the holder the reference is. */
  readonly offset: number;
  readonly isWeak: boolean;
}

/** What the words of an object of some type mean for those that they refer to. */
export class HolderScan {
  readonly #heap: Heap;
  readonly #target: Target;
  readonly #weakWords: WeakWords;
  readonly #dataTypes: ReadonlySet<number>;
  readonly #firstNonString: number;
  readonly #weakMapTypes: ReadonlySet<number>;
  /** Hash tables of weak collections: their type is not in the metadata. */
  #ephemeronType = -1;

  constructor(target: Target, heap: Heap, layout: Layout) {
    this.#heap = heap;
    this.#target = target;
    const types = (names: readonly string[]): ReadonlySet<number> =>
      new Set(names.map((name) => layout.findType(name) ?? -1));
    this.#weakWords = weakWordsOf(layout);
    this.#weakMapTypes = types(["JS_WEAK_MAP_TYPE", "JS_WEAK_SET_TYPE"]);
    this.#dataTypes = types([
      "BYTE_ARRAY_TYPE",
      "TRUSTED_BYTE_ARRAY_TYPE",
      "FIXED_DOUBLE_ARRAY_TYPE",
      "HEAP_NUMBER_TYPE",
    ]);
    this.#firstNonString = layout.get("FirstNonstringType");
  }

  /** Finds the holders of the wanted objects; yields after each page. */
  *find(wanted: ReadonlySet<number>, found: (holder: Holder) => void): Generator<WalkCounts> {
    if (this.#ephemeronType < 0) yield* this.#findEphemeronType();
    yield* this.#heap.walk((address, map, bytes) => {
      if (this.#dataTypes.has(map.instanceType) || this.#isFlatString(map)) return;
      if (bytes <= SMALL_BYTES_MAX) this.#scanSmall(address, bytes, map, wanted, found);
      else
        for (let from = 0; from < bytes; from += PIECE_BYTES) {
          this.#scan(address, from, Math.min(bytes - from, PIECE_BYTES), map, wanted, found);
        }
    });
  }

  #scan(
    address: number,
    from: number,
    bytes: number,
    map: MapInfo,
    wanted: ReadonlySet<number>,
    found: (holder: Holder) => void,
  ): void {
    const body = this.#target.memory.read(address + from, bytes);
    if (body === null) {
      if (bytes <= PAGE_BYTES) return;
      // a page of it was never touched: the others may have been
      const end = from + bytes;
      for (let at = from; at < end;) {
        const part = Math.min(PAGE_BYTES - ((address + at) % PAGE_BYTES), end - at);
        this.#scan(address, at, part, map, wanted, found);
        at += part;
      }
      return;
    }
    const words = new Uint32Array(body.buffer, body.byteOffset, body.length >> 2);
    // the first word is the map, which belongs to the class and not to the object
    for (let at = from === 0 ? 2 : 0; at + 1 < words.length; at += 2) {
      const low = words[at] as number; // below the length
      if ((low & 1) === 0) continue;
      const to = taggedFromHalves(low, words[at + 1] as number);
      if (!wanted.has(to)) continue;
      const offset = from + 4 * at;
      found({ from: address, to, offset, isWeak: this.#isWeak(low, map, offset) });
    }
  }

  /** Most objects are small: their words are read without a copy. */
  #scanSmall(
    address: number,
    bytes: number,
    map: MapInfo,
    wanted: ReadonlySet<number>,
    found: (holder: Holder) => void,
  ): void {
    const { view } = this.#heap;
    for (let offset = 8; offset + 8 <= bytes; offset += 8) {
      const low = view.unsigned(address, offset, 4);
      if ((low & 1) === 0) continue;
      const to = taggedFromHalves(low, view.unsigned(address, offset + 4, 4));
      if (!wanted.has(to)) continue;
      found({ from: address, to, offset, isWeak: this.#isWeak(low, map, offset) });
    }
  }

  #isWeak(low: number, { instanceType }: MapInfo, offset: number): boolean {
    const isKey =
      instanceType === this.#ephemeronType && ((offset >> 3) - HASH_HEADER_WORDS - 1) % 2 === 0;
    return (low & 2) !== 0 || isKey || this.#weakWords.get(instanceType)?.includes(offset) === true;
  }

  #isFlatString({ instanceType, instanceBytes }: MapInfo): boolean {
    return instanceType < this.#firstNonString && instanceBytes === 0;
  }

  *#findEphemeronType(): Generator<WalkCounts> {
    const { view, maps } = this.#heap;
    this.#ephemeronType = 0;
    const walk = this.#heap.walk((address, { instanceType }) => {
      if (!this.#weakMapTypes.has(instanceType)) return;
      const table = maps.of(view.tagged(address, view.layout.stated.collectionTable));
      if (table !== null) this.#ephemeronType = table.instanceType;
    });
    for (const counts of walk) {
      yield counts;
      if (this.#ephemeronType > 0) return; // Node itself has one in every process
    }
  }
}
