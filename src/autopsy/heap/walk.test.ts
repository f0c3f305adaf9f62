import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { oneRegion } from "../../../test/support/one-region.ts";
import type { Target } from "../target/target.ts";
import { HeapView } from "../v8/heap-view.ts";
import { Layout } from "../v8/layout.ts";
import { V8_14_6 } from "../v8/layouts/v8-14-6.ts";
import { Heap } from "./walk.ts";
import type { WalkCounts } from "./walk.ts";

const PAGE_BYTES = 256 * 1024;
const AREA_AT = 16;
const BASE = 0x12_1000_0000;
/** Pages of this heap, and where its records are. */
const [OLD, YOUNG, LEFT, RECORDS] = [0, 1, 2, 3].map((page) => BASE + page * PAGE_BYTES) as [
  number, // a constant list of four
  number,
  number,
  number,
];
const [TO_PAGE, FROM_PAGE] = [16, 8];
/** Behind the records. */
const HEAP = BASE + 3 * PAGE_BYTES + 0x1_0000;
const CLEARED_WORD = 3;

const layout = new Layout({
  version: "14.6.202.34-node.34",
  constants: new Map(Object.entries(V8_14_6.metadata)),
  bytecodeSizes: null,
  translationOperands: null,
  hasBreakablePositions: true,
});
const FILLER_TYPE = layout.type("FEEDBACK_VECTOR_TYPE") + 1;
const ONE_BYTE = layout.get("OneByteStringTag");
const THIN_TYPE = ONE_BYTE | layout.get("ThinStringTag");
const CONS_TYPE = ONE_BYTE | layout.get("ConsStringTag");

/** A heap of three pages: old, young, and one that was left. */
class Sketch {
  readonly #bytes = Buffer.alloc(4 * PAGE_BYTES);
  #next = OLD + AREA_AT;
  readonly #meta: number;

  constructor() {
    for (const [page, flags] of [
      [OLD, 0],
      [YOUNG, TO_PAGE],
      [LEFT, FROM_PAGE],
    ] as const) {
      const record = RECORDS + (page - BASE) / 16;
      const { pageHeap, pageAreaStart, pageAreaEnd } = layout.stated;
      this.put(page, flags, record);
      this.put(record + pageHeap, HEAP);
      this.put(record + pageAreaStart, page + AREA_AT);
      this.put(record + pageAreaEnd, page + PAGE_BYTES);
    }
    this.#meta = this.#next; // its own map
    this.map(layout.type("MAP_TYPE"), 128);
  }

  put(address: number, ...words: readonly number[]): void {
    for (const [index, word] of words.entries())
      this.#bytes.writeBigUInt64LE(BigInt(word), address - BASE + 8 * index);
  }

  /** The next free object of the old page. */
  old(bytes: number, ...words: readonly number[]): number {
    const address = this.#next;
    this.put(address, ...words);
    this.#next += bytes;
    return address;
  }

  map(type: number, bytes: number): number {
    const address = this.old(128, this.#meta + 1);
    const at = address - BASE;
    this.#bytes.writeUInt16LE(type, at + layout.field("Map", "instance_type"));
    this.#bytes.writeUInt8(bytes / 8, at + layout.field("Map", "instance_size_in_words"));
    return address;
  }

  heap(unused: readonly (readonly [number, number])[] = [], isScavenged = false): Heap {
    const { memory, mappings } = oneRegion(BASE, this.#bytes);
    // the members that a heap asks for
    const target = { memory, mappings } as unknown as Target;
    const areas = unused.map(([top, limit]) => ({ start: top, top, limit }));
    return new Heap(target, new HeapView(memory, layout), areas, () => isScavenged);
  }
}

function walked(heap: Heap): { readonly counts: WalkCounts; readonly places: readonly number[] } {
  const places: number[] = [];
  const walk = heap.walk((address) => places.push(address));
  let step = walk.next();
  while (step.done !== true) step = walk.next();
  return { counts: step.value, places: places.filter((address) => address >= YOUNG) };
}

describe("Heap.isDead()", () => {
  const sketch = new Sketch();
  const map = sketch.map(layout.type("JS_OBJECT_TYPE"), 24) + 1;
  const filler = sketch.map(FILLER_TYPE, 16) + 1;
  const friend = sketch.old(24, map, 0, 0);
  const nothing = sketch.old(16, filler, 0);
  const unused = sketch.old(64, map, 0, 0);
  const moved = YOUNG + AREA_AT;
  sketch.put(moved, friend, 0, 0);
  const heap = (): Heap => sketch.heap([[unused, unused + 64]]);
  const isDead = (word: number): boolean => {
    const address = YOUNG + 1024;
    sketch.put(address, map, 5 * 2 ** 32, word);
    return heap().isDead(address, 24);
  };

  for (const [what, word] of [
    ["an object", friend + 1],
    ["an object weakly", friend + 3],
    ["an object that has just moved", moved + 1],
    ["a small integer", 7 * 2 ** 32],
    ["a weak reference that was cleared", CLEARED_WORD],
  ] as const) {
    it(`is not what has ${what}`, () => assert.equal(isDead(word), false));
  }

  for (const [what, word] of [
    ["no page", 0x12_5000_0001],
    ["no page, weakly", 0x12_5000_0003],
    ["a page that was left", LEFT + AREA_AT + 1],
    ["what is set aside", unused + 1],
    ["a filler", nothing + 1],
    ["what has no map", YOUNG + PAGE_BYTES / 2 + 1],
  ] as const) {
    it(`is what refers to ${what}`, () => assert.equal(isDead(word), true));
  }

  it("is what is not there", () => assert.equal(heap().isDead(BASE - 64, 24), true));
});

describe("a walk in the middle of a collection", () => {
  it("keeps in step with what has moved, and counts it once", () => {
    const sketch = new Sketch();
    const map = sketch.map(layout.type("JS_OBJECT_TYPE"), 40) + 1;
    const [text, thin, cons] = [
      sketch.map(ONE_BYTE | layout.get("SeqStringTag"), 0) + 1,
      sketch.map(THIN_TYPE, 24) + 1,
      sketch.map(CONS_TYPE, 32) + 1,
    ] as const;
    const copy = sketch.old(40, map, 0, 0, 0, 0);
    const length = 2 ** 32; // of one character, behind the hash
    const string = sketch.old(24, text, length, 0);
    const empty = sketch.old(16, text, 0);
    let at = YOUNG + AREA_AT;
    const put = (bytes: number, ...words: readonly number[]): number => {
      sketch.put(at, ...words);
      return (at += bytes) - bytes;
    };
    put(40, copy, map, map, map, map);
    const first = put(40, map, 0, 0, 0, 0);
    put(24, string, length, string + 1); // was thin
    put(32, string, length, string + 1, empty + 1); // was of one half
    const second = put(32, cons, length, string + 1, empty + 1);
    const third = put(24, thin, length, string + 1);
    put(40, LEFT + 4096, 7, 9, 0x12_3456_7001, 9); // moved long ago, and then on
    sketch.put(LEFT + 4096, map, 0, 0, 0, 0);
    const { counts, places } = walked(sketch.heap());
    assert.deepEqual(places, [first, second, third]);
    const { movedObjects, skippedBytes, deadBytes } = counts;
    assert.deepEqual(
      { movedObjects, skippedBytes, deadBytes },
      {
        movedObjects: 3,
        skippedBytes: 0,
        deadBytes: 40,
      },
    );
  });

  it("has what young objects have not yet left, while they move", () => {
    const sketch = new Sketch();
    const map = sketch.map(layout.type("JS_OBJECT_TYPE"), 24) + 1;
    const copy = YOUNG + AREA_AT;
    sketch.put(copy, map, 0, 0);
    sketch.put(LEFT + AREA_AT, copy, 0, 0, map, 0, 0);
    const stays = LEFT + AREA_AT + 24;
    assert.deepEqual(walked(sketch.heap()).places, [copy]);
    const { counts, places } = walked(sketch.heap([], true));
    assert.deepEqual(places, [copy, stays]);
    assert.equal(counts.movedObjects, 1);
  });

  it("does not take an address of its own for where something has moved", () => {
    const sketch = new Sketch();
    const map = sketch.map(layout.type("JS_OBJECT_TYPE"), 24) + 1;
    sketch.put(YOUNG + AREA_AT, map, 0, 0, 0x7f_0000_0000, 8, 2 ** 40, map, 0, 0);
    const { counts, places } = walked(sketch.heap());
    assert.deepEqual(places, [YOUNG + AREA_AT, YOUNG + AREA_AT + 48]);
    assert.equal(counts.movedObjects, 0);
    assert.equal(counts.skippedBytes, 24);
  });
});

describe("an object whose size its type does not tell", () => {
  it("does not reach over the zeros behind it, but over those within", () => {
    const sketch = new Sketch();
    const map = sketch.map(layout.type("JS_OBJECT_TYPE"), 24) + 1;
    const scope = sketch.map(layout.type("SCOPE_INFO_TYPE"), 0) + 1;
    const [first, second] = [YOUNG + AREA_AT, YOUNG + AREA_AT + 40];
    const third = second + 24;
    sketch.put(first, scope, 7, 0, 0, 9, map, 0, 0, scope, 7);
    sketch.put(third + 4096, map, 0, 0);
    const sizes = new Map<number, number>();
    for (const counts of sketch.heap().walk((address, _, bytes) => sizes.set(address, bytes)))
      assert.equal(counts.skippedBytes, 0);
    assert.deepEqual(
      [first, second, third, third + 4096].map((at) => sizes.get(at)),
      [40, 24, 16, 24],
    );
  });

  it("is no feedback vector: its slots are counted", () => {
    const sketch = new Sketch();
    const vector = sketch.map(layout.type("FEEDBACK_VECTOR_TYPE"), 0) + 1;
    const at = YOUNG + AREA_AT;
    sketch.put(at, vector, 100);
    const sizes = new Map<number, number>();
    for (const counts of sketch.heap().walk((address, _, bytes) => sizes.set(address, bytes)))
      assert.equal(counts.skippedBytes, 0);
    assert.equal(sizes.get(at), 48 + 800);
  });
});

describe("areas that allocators have set aside", () => {
  it("are found by the allocators of the threads of a heap, and are no objects", () => {
    const sketch = new Sketch();
    const map = sketch.map(layout.type("JS_OBJECT_TYPE"), 24) + 1;
    const [start, top, limit] = [YOUNG + AREA_AT, YOUNG + AREA_AT + 24, YOUNG + AREA_AT + 96];
    sketch.put(start, map, 0, 0, 7, 7, 7, map, 0, 0, 7, 7, 7, map, 0, 0);
    const [main, other] = [HEAP + 0x5000, HEAP + 0x7000];
    sketch.put(HEAP + 536, main);
    sketch.put(main, HEAP, 0, other);
    sketch.put(main + 512, main + 520); // an area that is closed
    sketch.put(other, HEAP, main);
    assert.equal(walked(sketch.heap()).counts.skippedBytes, 48);
    sketch.put(other + 256, other + 264, start, top, limit);
    const { counts, places } = walked(sketch.heap());
    assert.equal(counts.skippedBytes, 0);
    assert.deepEqual(places, [start, limit]);
    // within no page, or without its own address before it: none
    sketch.put(other + 264, start, top, YOUNG + PAGE_BYTES + 8);
    assert.equal(walked(sketch.heap()).counts.skippedBytes, 48);
    sketch.put(other + 256, other + 280, 0, 0, start, top, limit);
    assert.equal(walked(sketch.heap()).counts.skippedBytes, 48);
  });
});
