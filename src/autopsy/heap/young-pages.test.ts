import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Memory } from "../target/memory.ts";
import { ObjectPlaces } from "./object-places.ts";
import type { HeapPage } from "./pages.ts";
import { unusedYoungAreas } from "./young-pages.ts";

const PAGE_BYTES = 256 * 1024;
/** Where the records of these pages have the list. */
const LIST_AT = 264;

const page = (number: number, isYoung = true): HeapPage => ({
  start: number * PAGE_BYTES,
  areaStart: number * PAGE_BYTES + 16,
  areaEnd: (number + 1) * PAGE_BYTES,
  isExecutable: false,
  heap: 1,
  isYoung,
  isLeft: false,
  record: 0x7000_0000 + 0x1000 * number,
});

/** Records in this order, and whatever else is in them. */
function recordsOf(list: readonly HeapPage[], others: Readonly<Record<number, number>>): Memory {
  const words = new Map<number, number>();
  for (const [index, { record }] of list.entries()) {
    words.set(record + LIST_AT, list[index + 1]?.record ?? 0);
    words.set(record + LIST_AT + 8, list[index - 1]?.record ?? 0);
  }
  for (const [at, word] of Object.entries(others)) words.set(Number(at), word);
  // the only member that is asked for
  return { word: (address: number) => words.get(address) ?? 0 } as unknown as Memory;
}

describe("unusedYoungAreas()", () => {
  const [a, b, c, d] = [page(5), page(3), page(9), page(4)] as const;
  const old = page(7, false);
  const large = page(11);
  const pages = [a, b, c, d, old, large];
  const area = { start: b.areaStart, top: b.areaStart + 800, limit: b.areaStart + 1_000 };

  it("tells what lies behind the allocation area, in its page and in the list", () => {
    // one page names another elsewhere, which does not answer
    const memory = recordsOf([a, b, c, d], { [a.record + 64]: b.record });
    assert.deepEqual(unusedYoungAreas(memory, pages, [area]), [
      { start: area.top, end: b.areaEnd },
      { start: c.areaStart, end: c.areaEnd },
      { start: d.areaStart, end: d.areaEnd },
    ]);
  });

  it("tells the rest of the page alone where the pages name each other nowhere", () => {
    const rest = [{ start: area.top, end: b.areaEnd }];
    assert.deepEqual(unusedYoungAreas(recordsOf([], {}), pages, [area]), rest);
    const oneWay = { [a.record + 8]: b.record, [b.record + 8]: c.record };
    assert.deepEqual(unusedYoungAreas(recordsOf([], oneWay), pages, [area]), rest);
  });

  it("ends where the list is a ring", () => {
    const ring = { [d.record + LIST_AT]: a.record, [a.record + LIST_AT + 8]: d.record };
    const memory = recordsOf([a, b, c, d], ring);
    assert.equal(unusedYoungAreas(memory, pages, [area]).length, 4);
  });

  it("tells nothing of an area in an old page", () => {
    const ofOld = { start: old.areaStart, top: old.areaStart + 8, limit: old.areaEnd };
    assert.deepEqual(unusedYoungAreas(recordsOf([a, b], {}), pages, [ofOld]), []);
  });
});

describe("ObjectPlaces", () => {
  it("has what lies in a page, and not in an unused part of it", () => {
    const one = page(5);
    const places = new ObjectPlaces([one], [{ start: one.areaStart + 80, end: one.areaEnd - 80 }]);
    for (const [address, isThere] of [
      [one.start, false],
      [one.areaStart, true],
      [one.areaStart + 72, true],
      [one.areaStart + 80, false],
      [one.areaEnd - 88, false],
      [one.areaEnd - 80, true],
      [one.areaEnd, false],
    ] as const) {
      assert.equal(places.has(address), isThere, String(address - one.start));
    }
    assert.equal(places.isYoung(one.areaStart), true);
    assert.equal(places.isYoung(0), false);
  });
});
