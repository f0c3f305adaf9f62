import assert from "node:assert/strict";
import { it } from "node:test";
import type { HeapPage } from "../heap/pages.ts";
import { BitSet, WordIndex } from "./object-bits.ts";

const PAGE_BYTES = 256 * 1024;

function page(start: number, areaBytes = PAGE_BYTES - 64, heap = 1): HeapPage {
  return {
    start,
    areaStart: start + 64,
    areaEnd: start + 64 + areaBytes,
    isExecutable: false,
    heap,
    isYoung: false,
    isLeft: false,
    record: start,
  };
}

it("gives each word of the heap a bit of its own, and back", () => {
  // pages that share a place among those that are found without a search; a large one; none between
  const far = 8192 * PAGE_BYTES;
  const pages = [page(far), page(2 * far, 3 * PAGE_BYTES), page(3 * far, 4_096, 0)];
  const index = new WordIndex(pages);
  const seen = new Set<number>();
  for (let round = 0; round < 3; round += 1) {
    for (const { areaStart } of pages) {
      for (const address of [areaStart, areaStart + 8, areaStart + 4_000, areaStart + 4_096]) {
        const bit = index.bitOf(address);
        assert.ok(bit >= 0 && bit < index.bits);
        assert.equal(index.addressOf(bit), address);
        seen.add(bit);
      }
    }
  }
  assert.equal(seen.size, 12);
  assert.equal(index.bitOf(far), -1, "before the objects of a page");
  assert.equal(index.bitOf(far + 68), -1, "within a word");
  assert.equal(index.bitOf(far + PAGE_BYTES + 8), -1, "between pages");
  assert.equal(index.isReadOnly(3 * far + 64), true);
  assert.equal(index.isReadOnly(far + 64), false);
});

it("counts and finds bits", () => {
  const set = new BitSet(200);
  for (const bit of [3, 64, 65, 199]) assert.equal(set.add(bit), true);
  assert.equal(set.add(64), false);
  assert.equal(set.size, 4);
  assert.equal(set.next(3, 100), 64);
  assert.equal(set.next(65, 100), -1);
  set.count();
  assert.deepEqual(
    [3, 64, 65, 199, 4].map((bit) => set.rank(bit)),
    [0, 1, 2, 3, -1],
  );
});
