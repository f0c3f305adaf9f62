/**
 * What is alive: everything that can be reached from V8's roots, as a garbage collection would find
 * it; where these are not known, from all that looks like a reference in native memory.
 *
 * ```
 *   walk    where objects begin and end
 *   roots   Isolate, handles, stack --> objects
 *   mark    strong references; values of weak maps once their key is marked, until nothing changes
 * ```
 */
import type { MapInfo } from "../heap/maps.ts";
import type { Heap } from "../heap/walk.ts";
import { NotInMemory } from "../target/memory.ts";
import type { Target } from "../target/target.ts";
import type { IsolateView } from "../v8/isolates.ts";
import type { Layout } from "../v8/layout.ts";
import { isSmi, taggedFromHalves } from "../v8/tagged.ts";
import { BitSet, WordIndex } from "./object-bits.ts";
import { nativeRoots } from "./native-roots.ts";
import { weakWordsOf } from "./weak-words.ts";
import type { WeakWords } from "./weak-words.ts";

const TURN_OBJECTS = 5_000;
const BODY_BYTES_MAX = 1024 * 1024;
/** Words of less are read one by one, without a copy. */
const SMALL_BYTES_MAX = 256;
/** Words of a page: an object ends within so many, or is a large one. */
const SMALL_WORDS_MAX = 33_000;
/** Of the types of contexts, the place of `NATIVE_CONTEXT_TYPE`, which has no name. */
export const NATIVE_CONTEXT = 7;
/** Where the entries of a weak map's table begin: map, length, three counts. */
export const EPHEMERONS_AT = 40;
/** Weak maps whose values are keys of others: a chain of them takes a round for each link. */
const WEAK_ROUNDS_MAX = 1_000;
const UNFINISHED = "weak maps hold each other in long chains: what is alive may count as garbage";

/** References of a body; `isWeak`: they keep nothing alive. */
export type ReferenceVisitor = (to: number, offset: number, isWeak: boolean) => void;

export class LiveObjects {
  readonly index: WordIndex;
  readonly marked: BitSet;
  /** Stores of properties and of elements, by whose they are; empty unless told apart. */
  readonly properties: BitSet;
  readonly elements: BitSet;
  /** Objects that native memory refers to. */
  readonly roots: number[] = [];
  /** Global objects and native contexts, be they alive or not. */
  readonly globals: number[] = [];
  /** Why it may be more, or less, than is alive. */
  readonly remarks: string[] = [];
  readonly #heap: Heap;
  readonly #isolates: readonly IsolateView[];
  #areRootsExact = false;
  readonly #target: Target;
  readonly #begins: BitSet;
  readonly #ends: BitSet;
  readonly #large = new Map<number, number>();
  readonly #dataTypes: ReadonlySet<number>;
  readonly #weakWords: WeakWords;
  readonly #weakMapTypes: ReadonlySet<number>;
  readonly #firstNonString: number;
  readonly #firstReceiver: number;
  readonly #stores: readonly [number, number];
  readonly #symbolType: number;
  readonly #globalTypes: ReadonlySet<number>;
  #ephemeronType = -1;
  readonly #ephemerons: number[] = [];
  /** Numbers of words, of objects whose references were not followed yet. */
  #pending: Uint32Array | Float64Array;
  #count = 0;
  readonly #areStoresToldApart: boolean;

  /** @param areStoresToldApart fills `properties` and `elements`, and allows `numberOf` */
  constructor(
    target: Target,
    heap: Heap,
    layout: Layout,
    isolates: readonly IsolateView[],
    areStoresToldApart = false,
  ) {
    const types = (names: readonly string[]): ReadonlySet<number> =>
      new Set(names.map((name) => layout.findType(name) ?? -1));
    this.#heap = heap;
    this.#isolates = isolates;
    this.#target = target;
    this.index = new WordIndex(heap.pages);
    const { bits } = this.index;
    this.#areStoresToldApart = areStoresToldApart;
    this.#pending = bits < 2 ** 32 ? new Uint32Array(4096) : new Float64Array(4096);
    this.marked = new BitSet(bits);
    this.properties = new BitSet(areStoresToldApart ? bits : 0);
    this.elements = new BitSet(areStoresToldApart ? bits : 0);
    this.#begins = new BitSet(bits);
    this.#ends = new BitSet(bits);
    this.#weakWords = weakWordsOf(layout);
    this.#weakMapTypes = types(["JS_WEAK_MAP_TYPE", "JS_WEAK_SET_TYPE"]);
    const data = ["BYTE_ARRAY_TYPE", "TRUSTED_BYTE_ARRAY_TYPE", "FIXED_DOUBLE_ARRAY_TYPE"];
    this.#dataTypes = types([...data, "HEAP_NUMBER_TYPE"]);
    this.#firstNonString = layout.get("FirstNonstringType");
    this.#firstReceiver = layout.type("JS_PROXY_TYPE");
    this.#globalTypes = new Set([
      layout.type("JS_GLOBAL_OBJECT_TYPE"),
      layout.get("FirstContextType") + NATIVE_CONTEXT,
    ]);
    this.#symbolType = layout.type("SYMBOL_TYPE");
    this.#stores = [layout.stated.objectProperties, layout.stated.objectElements];
  }

  /** Finds everything that is alive; yields now and then. */
  *mark(): Generator<unknown, void> {
    yield* this.#heap.walk((address, map, bytes) => this.#note(address, map, bytes));
    const roots = yield* nativeRoots(this.#target, this.#heap, this.#isolates);
    this.#areRootsExact = roots.areExact;
    this.remarks.push(...roots.remarks);
    for (const root of roots.addresses) if (this.#push(root)) this.roots.push(root);
    let before = -1;
    for (let round = 0; this.marked.size !== before; round += 1) {
      before = this.marked.size;
      yield* this.#drain();
      if (round === WEAK_ROUNDS_MAX) {
        this.remarks.push(UNFINISHED);
        break;
      }
      for (const table of this.#ephemerons) this.#markValues(table);
    }
    if (this.#areStoresToldApart) this.marked.count();
  }

  /** What is marked is what V8 would keep; else some of it may only look so. */
  get isExact(): boolean {
    return this.#areRootsExact;
  }

  /** A table of a weak map: a value in it is alive as long as its key is. */
  isWeakTable({ instanceType }: MapInfo): boolean {
    return instanceType === this.#ephemeronType;
  }

  /** Entries of weak maps whose key and value are alive; `visit` has addresses. */
  weakEntries(visit: (table: number, key: number, value: number) => void): void {
    const { view } = this.#heap;
    for (const table of this.#ephemerons) {
      const bytes = this.#bytesOf(table, this.index.bitOf(table));
      for (let at = EPHEMERONS_AT; at + 16 <= bytes; at += 16) {
        const [key, value] = [view.tagged(table, at), view.tagged(table, at + 8)];
        if (isSmi(key) || isSmi(value) || !this.isLive(key) || !this.isLive(value)) continue;
        if (this.#isKey(key)) visit(table, key, value);
      }
    }
  }

  isLive(address: number): boolean {
    return this.marked.has(this.index.bitOf(address));
  }

  /** The place of a live object in the order of addresses; -1: it is none. */
  numberOf(address: number): number {
    return this.marked.rank(this.index.bitOf(address));
  }

  /** Calls back for every reference in an object's body, its map included. */
  references(address: number, map: MapInfo, bytes: number, visit: ReferenceVisitor): void {
    const { instanceType } = map;
    visit(map.address, 0, false);
    if (this.#hasNoReferences(map)) return;
    const weakWords = this.#weakWords.get(instanceType);
    const isTable = instanceType === this.#ephemeronType;
    for (let from = 0; from < bytes; from += BODY_BYTES_MAX) {
      const words = this.#words(address + from, Math.min(bytes - from, BODY_BYTES_MAX));
      for (let at = from === 0 ? 2 : 0; at + 1 < words.length; at += 2) {
        const low = words[at] ?? 0;
        if ((low & 1) === 0) continue;
        const offset = from + 4 * at;
        const isWeakWord = weakWords?.includes(offset) === true;
        const isWeak = (low & 2) !== 0 || isWeakWord || (isTable && offset >= EPHEMERONS_AT);
        const to = taggedFromHalves(low, words[at + 1] ?? 0);
        if (this.#begins.has(this.index.bitOf(to))) visit(to, offset, isWeak);
      }
    }
  }

  #note(address: number, map: MapInfo, bytes: number): void {
    const bit = this.index.bitOf(address);
    this.#begins.add(bit);
    const end = this.index.bitOf(address + bytes);
    if (end < bit) this.#large.set(address, bytes);
    else this.#ends.add(end);
    if (this.#globalTypes.has(map.instanceType)) this.globals.push(address);
    if (!this.#weakMapTypes.has(map.instanceType)) return;
    const { view, maps } = this.#heap;
    const table = maps.of(view.tagged(address, view.layout.stated.collectionTable));
    if (table !== null) this.#ephemeronType = table.instanceType;
  }

  #hasNoReferences({ instanceType, instanceBytes }: MapInfo): boolean {
    if (this.#dataTypes.has(instanceType)) return true;
    return instanceType < this.#firstNonString && instanceBytes === 0;
  }

  #bytesOf(address: number, bit: number): number {
    const large = this.#large.get(address);
    if (large !== undefined) return large;
    const end = this.#ends.next(bit, SMALL_WORDS_MAX);
    return end < 0 ? 8 : 8 * (end - bit);
  }

  #push(address: number): boolean {
    const bit = this.index.bitOf(address);
    if (!this.#begins.has(bit) || !this.marked.add(bit)) return false;
    if (this.#count === this.#pending.length) {
      const larger =
        this.#pending instanceof Uint32Array
          ? new Uint32Array(2 * this.#count)
          : new Float64Array(2 * this.#count);
      larger.set(this.#pending);
      this.#pending = larger;
    }
    this.#pending[this.#count] = bit;
    this.#count += 1;
    return true;
  }

  *#drain(): Generator<number> {
    for (let done = 1; this.#count > 0; done += 1) {
      this.#count -= 1;
      const bit = this.#pending[this.#count] ?? 0;
      const address = this.index.addressOf(bit);
      const map = this.#heap.maps.of(address);
      if (map === null) continue;
      const bytes = this.#bytesOf(address, bit);
      if (map.instanceType === this.#ephemeronType) this.#ephemerons.push(address);
      if (this.#areStoresToldApart) this.#followStores(address, map, bytes);
      else if (bytes <= SMALL_BYTES_MAX) this.#followSmall(address, map, bytes);
      else this.references(address, map, bytes, this.#pushStrong);
      if (done % TURN_OBJECTS === 0) yield done;
    }
  }

  readonly #pushStrong: ReferenceVisitor = (to, _offset, isWeak) => {
    if (!isWeak) this.#push(to);
  };

  /** As `references` and `#pushStrong`, for most objects: millions of them. */
  #followSmall(address: number, map: MapInfo, bytes: number): void {
    this.#push(map.address);
    if (this.#hasNoReferences(map)) return;
    const weakWords = this.#weakWords.get(map.instanceType);
    const { view } = this.#heap;
    const end = map.instanceType === this.#ephemeronType ? Math.min(bytes, EPHEMERONS_AT) : bytes;
    for (let offset = 8; offset < end; offset += 8) {
      const low = view.unsigned(address, offset, 4);
      if ((low & 3) !== 1 || weakWords?.includes(offset) === true) continue; // a number, or weak
      this.#push(view.unsigned(address, offset + 4, 4) * 0x1_0000_0000 + (low - 1));
    }
  }

  #followStores(address: number, map: MapInfo, bytes: number): void {
    const [propertiesAt, elementsAt] = this.#stores;
    const isReceiver = map.instanceType >= this.#firstReceiver;
    this.references(address, map, bytes, (to, offset, isWeak) => {
      if (!isWeak) this.#push(to);
      // the empty ones are everybody's
      if (!isReceiver || this.index.isReadOnly(to)) return;
      if (offset === propertiesAt) this.properties.add(this.index.bitOf(to));
      if (offset === elementsAt) this.elements.add(this.index.bitOf(to));
    });
  }

  /** Values of a weak map whose keys are alive. */
  #markValues(table: number): void {
    const bytes = this.#bytesOf(table, this.index.bitOf(table));
    for (let at = EPHEMERONS_AT; at + 16 <= bytes; at += 16) {
      const key = this.#heap.view.tagged(table, at);
      if (this.isLive(key)) this.#push(this.#heap.view.tagged(table, at + 8));
    }
  }

  /** An object or a symbol; not what marks an entry as free. */
  #isKey(key: number): boolean {
    const map = this.#heap.maps.of(key);
    if (map === null) return false;
    return map.instanceType >= this.#firstReceiver || map.instanceType === this.#symbolType;
  }

  /** What is there of a body; zeros for the rest. */
  #words(address: number, bytes: number): Uint32Array {
    const words = new Uint32Array(bytes >>> 2);
    const into = Buffer.from(words.buffer);
    try {
      for (let at = 0; at < bytes;) {
        at += this.#target.memory.readInto(address + at, into.subarray(at));
        if (at >= bytes) break;
        at = Math.ceil((address + at + 1) / 4096) * 4096 - address;
      }
    } catch (error) {
      if (!(error instanceof NotInMemory)) throw error;
    }
    return words;
  }
}
