/** Constants of V8's heap: headers of pages, allocation areas, its limit. */
import type { Found, Search } from "./autopsy-layout-scene.ts";

const PAGE_BYTES = 256 * 1024;
const PAGE_HEADER_BYTES = 136;
/** Behind FeedbackVector and Filler, as in `heap/sizes.ts`. */
const FREE_SPACE_TYPE = 2;
/** Fewer may be a chance. */
const FREE_SPACES_MIN = 5;

interface Area {
  readonly start: number;
  readonly end: number;
}

/** The class Heap, and what it keeps its limits in since 14.x: the first words. */
const HEAP_BYTES = 4_096;
const LIMITS_BYTES = 64;

/** `--max-old-space-size` of the subjects: a number that stands nowhere else. */
export const HEAP_MIB = 777;

export function heapPages(search: Search) {
  const { heap, scene } = search;
  const pages = ["one", "compiled", "symbol"].map(
    (name) => Math.floor(search.at(name) / PAGE_BYTES) * PAGE_BYTES,
  );
  const isInline = pages.every((page) => heap.word(page, 8) === page);
  const headers = pages.map((page) => ({ page, header: isInline ? page : heap.word(page, 8) }));
  const inHeader = (what: string, holds: (word: number, page: number) => boolean): number =>
    search.one(
      what,
      (offset) => headers.every(({ page, header }) => holds(heap.word(header, offset), page)),
      8,
      8,
      PAGE_HEADER_BYTES,
    );
  const heapField = inHeader("heap of a page", (word) => {
    return word > scene.isolate && word < scene.isolate + 0x2_0000;
  });
  const areaStart = inHeader("area start", (word, page) => word > page && word <= page + 8192);
  const [first] = headers;
  const limitsFrom = heap.word(first?.header ?? 0, heapField) - scene.isolate;
  // objects begin at the same distance in every page
  const areaOffset = heap.word(first?.header ?? 0, areaStart) - (first?.page ?? 0);
  const areaEnd = inHeader("area end", (word, page) => {
    return word > page + PAGE_BYTES / 2 && word <= page + PAGE_BYTES;
  });
  const areas = pagesOfAll(search).flatMap((page): Area[] => {
    const header = isInline ? page : heap.word(page, 8);
    const [start, end] = [heap.word(header, areaStart), heap.word(header, areaEnd)];
    const isPage = start > page && start < end && end <= page + PAGE_BYTES;
    return isPage ? [{ start, end }] : [];
  });
  return {
    freeSpaceUnit: [
      freeSpaceUnit(search, areas),
      "search: from a free space to the next object, or to the end of the page",
    ],
    isPageInline: [
      isInline ? 1 : 0,
      "search: the second word of a page is its own address, or not",
    ],
    pageHeap: [heapField, "search: pages of different objects name one address in the Isolate"],
    pageAreaStart: [areaStart, "search: an address in the first 8 KiB of the page"],
    pageAreaEnd: [areaEnd, "search: an address in the last half of the page"],
    heapLimitPath: [
      heapLimitPath(search, limitsFrom),
      "search: --max-old-space-size, in the Heap or behind a pointer",
    ],
    allocationAreas: [
      allocationAreas(search, areaOffset),
      "search: start <= top < limit within a page, twice",
    ],
  } satisfies Partial<Found>;
}

/** Where subjects are: few of them have free space. */
function pagesOfAll({ scene }: Search): readonly number[] {
  const addresses = [...scene.subjects.values()].map(({ address }) => address);
  return [...new Set(addresses.map((one) => Math.floor(one / PAGE_BYTES) * PAGE_BYTES))];
}

/**
 * Bytes of one unit of a FreeSpace's size: 1, or more since 13.x. Within free space lies what was
 * there before, other free spaces too: it is passed over, or it would be counted.
 */
function freeSpaceUnit(search: Search, areas: readonly Area[]): number {
  const { heap } = search;
  const type = heap.layout.type("FEEDBACK_VECTOR_TYPE") + FREE_SPACE_TYPE;
  return search.one(
    "unit of free space",
    (unit) => {
      let [held, failed] = [0, 0];
      for (const { start, end } of areas) {
        for (let at = start; at < end; at += 8) {
          if (heap.instanceTypeOf(at) !== type) continue;
          const next = at + unit * (heap.smi(at, 8) ?? 0);
          const isNext = next > at && (next === end || heap.isMap(heap.mapOf(next)));
          if (isNext && next <= end) held += 1;
          else failed += 1;
          if (isNext && next <= end) at = next - 8;
        }
      }
      return held >= FREE_SPACES_MIN && failed * 10 <= held;
    },
    1,
    1,
    9,
  );
}

function heapLimitPath({ heap, scene }: Search, start: number): readonly number[] {
  const isLimit = (address: number, offset: number): boolean =>
    heap.word(address, offset) === HEAP_MIB * 2 ** 20;
  for (let offset = start; offset < start + HEAP_BYTES; offset += 8) {
    if (isLimit(scene.isolate, offset)) return [offset];
    const behind = heap.word(scene.isolate, offset);
    if (behind < PAGE_BYTES || behind % 8 !== 0) continue;
    for (let inner = 0; inner < LIMITS_BYTES; inner += 8) {
      if (isLimit(behind, inner)) return [offset, inner];
    }
  }
  throw new Error("the limit of the heap is not found");
}

function allocationAreas({ heap, scene }: Search, areaOffset: number): readonly number[] {
  const { isolate, target } = scene;
  const found: number[] = [];
  for (let offset = 0; offset < 0x400 && found.length < 2; offset += 8) {
    const [start = 0, top = 0, limit = 0] = [0, 8, 16].map((at) =>
      target.memory.word(isolate + offset + at),
    );
    const page = Math.floor(start / PAGE_BYTES);
    const isWhole = [start, top, limit].every((word) => word > PAGE_BYTES && word % 8 === 0);
    const isOrdered = start <= top && top < limit && limit - start <= PAGE_BYTES;
    const isPage = heap.isMap(heap.mapOf(page * PAGE_BYTES + areaOffset));
    if (isWhole && isOrdered && isPage) found.push(offset);
  }
  if (found.length < 2) throw new Error("allocation areas are not found");
  return found;
}
