/**
 * Every object of the heap, page by page, in the order of addresses.
 *
 * ```
 *   page: object object object ... | unused part of an allocation area | object ... | filler
 *            size from map or length    skipped: [top, limit)               FreeSpace: skipped
 * ```
 * Where the size of an object is not known, or what lies there has no map, the walk goes on at the
 * next word that looks like a map's address. What was passed over is counted, in bytes.
 */
import type { Target } from "../target/target.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { isMovedTo } from "../v8/tagged.ts";
import { ownedAreas } from "./allocation-areas.ts";
import type { AllocationArea } from "./allocation-areas.ts";
import { MapTable } from "./maps.ts";
import type { MapInfo } from "./maps.ts";
import type { HeapPage } from "./pages.ts";
import { findPages } from "./pages.ts";
import { SizeTable, UNKNOWN_SIZE } from "./sizes.ts";
import { ObjectPlaces } from "./object-places.ts";
import { unusedYoungAreas } from "./young-pages.ts";

/** Large objects are pages of their own: their content is not needed to walk. */
const WINDOW_BYTES = 256 * 1024;
const MEMORY_PAGE_BYTES = 4096;

/** What lies in a half-open part of an allocation area is not initialised. */
export interface UnusedArea {
  readonly start: number;
  readonly end: number;
}

export interface WalkCounts {
  objects: number;
  bytes: number;
  /** Fillers and free space. */
  freeBytes: number;
  /** Free spaces, and those of them behind which no object begins: their size is misread. */
  freeSpaces: number;
  freeSpacesLost: number;
  /** What a collection that is under way has left where it was: its copy is counted. */
  movedObjects: number;
  /** Bytes whose objects are not known: damaged, or between allocation areas. */
  skippedBytes: number;
  /** Dead objects, not swept yet, whose kind is not known any more: their map is gone. */
  deadBytes: number;
  /** Zeros where an object might begin: what a thread has set aside and not used yet, or lost. */
  emptyBytes: number;
  /** Objects that would be longer than their page. */
  damaged: number;
  /** Pages of which a part was never touched, or is not in the core. */
  missingPages: number;
}

/** At the end of an object whose size its type does not tell. */
const ZERO_BYTES_MAX = 256;
const NOTHING: WalkCounts = {
  objects: 0,
  bytes: 0,
  freeBytes: 0,
  freeSpaces: 0,
  freeSpacesLost: 0,
  movedObjects: 0,
  skippedBytes: 0,
  deadBytes: 0,
  emptyBytes: 0,
  damaged: 0,
  missingPages: 0,
};

/** `address` is the object's first byte. */
export type ObjectVisitor = (address: number, map: MapInfo, bytes: number) => void;

/** The heap of one target (all isolates of it). */
export class Heap {
  readonly view: HeapView;
  readonly maps: MapTable;
  readonly pages: readonly HeapPage[];
  readonly #target: Target;
  readonly #sizes: SizeTable;
  readonly #unused: readonly UnusedArea[];
  readonly #empty: readonly HeapPage[];
  readonly #places: ObjectPlaces;
  readonly #codeType: number;
  readonly #fillerType: number;
  readonly #freeSpaceType: number;
  #seen: WalkCounts = { ...NOTHING };

  /** @param isScavenged whether young objects of a heap (`HeapPage.heap`) are being moved */
  constructor(
    target: Target,
    view: HeapView,
    areas: readonly AllocationArea[],
    isScavenged: (heap: number) => boolean = () => false,
  ) {
    this.#target = target;
    this.view = view;
    this.maps = new MapTable(view);
    this.#sizes = new SizeTable(view.layout);
    this.#codeType = view.layout.type("INSTRUCTION_STREAM_TYPE");
    this.#fillerType = view.layout.type("FEEDBACK_VECTOR_TYPE") + 1;
    this.#freeSpaceType = this.#fillerType + 1;
    // while objects move, the half that they leave still has the others
    const isEmpty = ({ isLeft, heap }: HeapPage): boolean => isLeft && !isScavenged(heap);
    const [pages, empty] = [[] as HeapPage[], [] as HeapPage[]];
    for (const page of findPages(target, view)) (isEmpty(page) ? empty : pages).push(page);
    this.pages = pages;
    this.#unused = [
      ...[...areas, ...ownedAreas(target.memory, pages)].map(({ top, limit }) => {
        return { start: top, end: limit };
      }),
      ...unusedYoungAreas(target.memory, this.pages, areas),
    ];
    this.#empty = empty;
    this.#places = new ObjectPlaces(pages, this.#unused, empty);
  }

  /** Where no objects are: in the half that was left, and where none were made yet. */
  get unused(): readonly UnusedArea[] {
    const left = this.#empty.map(({ areaStart, areaEnd }) => ({ start: areaStart, end: areaEnd }));
    return [...left, ...this.#unused];
  }

  /**
   * Whether an object is dead for certain: it refers to what is none. That of a live one is kept,
   * and moved with it; of a dead one nobody looks after it.
   */
  isDead(address: number, bytes: number): boolean {
    const words = this.#target.memory.read(address, bytes - (bytes % 8));
    if (words === null) return true;
    for (let at = 0; at < words.length; at += 8) {
      const [low, high] = [words.readUInt32LE(at), words.readUInt32LE(at + 4)];
      // a weak reference that was cleared has no address
      const isReference = (low & 1) === 1 && high !== 0;
      if (isReference && this.#isNoObject(high * 0x1_0000_0000 + (low - (low & 3)))) return true;
    }
    return false;
  }

  /** See ObjectPlaces. */
  isYoung(address: number): boolean {
    return this.#places.isYoung(address);
  }

  #isNoObject(address: number): boolean {
    if (!this.#places.has(address)) return true;
    const map = this.maps.of(address);
    if (map === null) return true;
    return map.instanceType === this.#fillerType || map.instanceType === this.#freeSpaceType;
  }

  /** Visits every object; one page at a time, so that the caller can do something in between. */
  *walk(visit: ObjectVisitor): Generator<WalkCounts, WalkCounts> {
    const counts = { ...NOTHING };
    for (const page of this.pages) {
      this.#walkPage(page, visit, counts);
      yield counts;
    }
    this.#seen = counts;
    return counts;
  }

  /**
   * What was found on the way that an answer may lack something for. Less than a page of memory
   * `objects` alone tells: a dead object that is not swept yet may have had a map in whose place is
   * something else now.
   */
  remarks(least: number = MEMORY_PAGE_BYTES): readonly string[] {
    const { skippedBytes, damaged } = this.#seen;
    if (skippedBytes === 0 || (skippedBytes < least && damaged === 0)) return [];
    const objects = damaged === 0 ? "" : `, among it ${damaged} of an impossible length`;
    return [
      `${skippedBytes} bytes of the heap were passed over: no object makes sense there${objects}`,
    ];
  }

  #walkPage(page: HeapPage, visit: ObjectVisitor, counts: WalkCounts): void {
    const bytes = Math.min(page.areaEnd - page.areaStart, WINDOW_BYTES + 8);
    const window = Buffer.from(new ArrayBuffer(Math.ceil(bytes / 8) * 8));
    const missing = this.#fill(page.areaStart, window.subarray(0, bytes));
    if (missing.length > 0) counts.missingPages += 1;
    const words = new Uint32Array(window.buffer, 0, window.length >> 2);
    const { areaStart } = page;
    const u32: (address: number) => number = (address) => words[(address - areaStart) >>> 2] ?? 0;
    const end = areaStart + bytes;
    const unusedHere = this.#unused.filter((area) => area.start < end && area.end > areaStart);
    const holes = [...unusedHere, ...missing].toSorted((a, b) => a.start - b.start);
    let [hole, ahead, behindFree] = [holes[0], 0, 0];
    let lost: "no" | "dead" | "skipped" = "no";
    for (let at = areaStart; at + 8 <= end;) {
      while (hole !== undefined && hole.end <= at) hole = holes[(ahead += 1)];
      if (hole !== undefined && hole.start <= at) {
        counts.freeBytes += hole.end - at;
        at = hole.end;
        continue;
      }
      const [low, high] = [u32(at), u32(at + 4)];
      const map = this.#mapAt(low, high);
      if (map === null) {
        const moved = this.#movedBytes(at, low, high);
        if (moved > 0 && at + moved <= page.areaEnd) {
          counts.movedObjects += 1;
          lost = "no";
          at += moved;
          continue;
        }
        if (lost === "no") lost = this.#isDeadMap(low, high) ? "dead" : "skipped";
        if (at === behindFree && lost !== "dead") counts.freeSpacesLost += 1;
        if (low === 0 && high === 0) counts.emptyBytes += 8;
        else if (lost === "dead") counts.deadBytes += 8;
        else counts.skippedBytes += 8;
        at += 8;
        continue;
      }
      lost = "no";
      if (map.instanceType === this.#codeType) return; // machine code follows
      const size = this.#bytesAt(at, map, end, u32);
      const { instanceType } = map;
      if (instanceType === this.#fillerType || instanceType === this.#freeSpaceType) {
        counts.freeBytes += size;
        if (instanceType === this.#freeSpaceType) {
          counts.freeSpaces += 1;
          behindFree = at + size;
        }
      } else if (at + size > page.areaEnd) {
        // no object is longer than its page: its length is damaged
        counts.damaged += 1;
        counts.skippedBytes += 8;
        at += 8;
        continue;
      } else {
        counts.objects += 1;
        counts.bytes += size;
        visit(at, map, size);
      }
      at += size;
    }
  }

  /** Reads what is there; the holes: memory that was never touched, or is not in the core. */
  #fill(start: number, window: Buffer): UnusedArea[] {
    const missing: UnusedArea[] = [];
    for (let at = 0; at < window.length;) {
      at += this.#target.memory.readInto(start + at, window.subarray(at));
      if (at >= window.length) break;
      const next = Math.ceil((start + at + 1) / MEMORY_PAGE_BYTES) * MEMORY_PAGE_BYTES;
      window.fill(0, at, Math.min(next - start, window.length));
      const last = missing.at(-1);
      if (last !== undefined && last.end === start + at) missing.pop();
      const from = last !== undefined && last.end === start + at ? last.start : start + at;
      missing.push({ start: from, end: next });
      at = next - start;
    }
    return missing;
  }

  /** The map that a word is a pointer to. */
  #mapAt(low: number, high: number): MapInfo | null {
    if ((low & 3) !== 1) return null;
    return this.maps.get(high * 0x1_0000_0000 + (low - 1));
  }

  /**
   * Where an object begins: its map is not there any more, so it has died with it; or it has moved
   * long ago, to where now is something else.
   */
  #isDeadMap(low: number, high: number): boolean {
    if (isMovedTo(low)) return this.#places.isInPage(high * 0x1_0000_0000 + low);
    return (low & 3) === 1 && this.#isNoObject(high * 0x1_0000_0000 + (low - 1));
  }

  /** Bytes of an object that has moved, by its copy; 0: it has not. */
  #movedBytes(at: number, low: number, high: number): number {
    const to = high * 0x1_0000_0000 + low;
    if (!isMovedTo(low) || !this.#places.has(to)) return 0;
    const map = this.maps.of(to);
    if (map === null) return 0;
    const { view } = this;
    if (map.instanceType < view.layout.get("FirstNonstringType")) {
      // a string that only refers to another is replaced by that: a thin one, or of one half
      const referred = view.tagged(at, view.layout.field("ThinString", "actual"));
      if (referred === to || view.movedTo(referred) === to) {
        const second = view.layout.field("ConsString", "second");
        return view.isString(view.tagged(at, second)) ? second + 8 : second;
      }
    }
    const { instanceType, instanceBytes } = map;
    const u32 = (address: number): number => view.unsigned(address, 0, 4);
    return Math.max(0, this.#sizes.bytesOf(to, instanceType, instanceBytes, u32));
  }

  #bytesAt(at: number, map: MapInfo, end: number, u32: (address: number) => number): number {
    const { instanceType, instanceBytes } = map;
    const bytes = this.#sizes.bytesOf(at, instanceType, instanceBytes, u32);
    if (bytes !== UNKNOWN_SIZE && bytes >= 8) return bytes;
    let [next, behindLast] = [at + 8, at + 8];
    for (; next + 8 <= end; next += 8) {
      const [low, high] = [u32(next), u32(next + 4)];
      if (this.#mapAt(low, high) !== null) break;
      if (low !== 0 || high !== 0) behindLast = next + 8;
    }
    // so many zeros are no part of it: nothing was made there yet
    return (next - behindLast > ZERO_BYTES_MAX ? behindLast : next) - at;
  }
}
