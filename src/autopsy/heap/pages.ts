/**
 * The pages of V8's heap, found in the memory itself: no list is followed that could be damaged.
 *
 * ```
 *   12.4   page = header | objects         header: flags, size, self ... (memory-chunk-layout.h)
 *   13.6+  page = flags, metadata pointer | objects
 *          metadata (malloc): vtable?, start, size, ... area end, heap, area start
 * ```
 * V8 aligns pages to 256 KiB; every such address that is mapped and no file's is looked at.
 */
import type { Target } from "../target/target.ts";
import type { HeapView } from "../v8/heap-view.ts";
import type { Stated } from "../v8/layout-table.ts";

/** Half of the alignment of any version so far, so that a change of it is noticed, not missed. */
const PROBE_BYTES = 64 * 1024;
const PAGE_BYTES = 256 * 1024;
/** The largest object has some GB; a header that says more is none. */
const AREA_BYTES_MAX = 64 * 2 ** 30;
/** `MemoryChunk::FROM_PAGE`: the half of the young generation that is empty. */
const FROM_PAGE = 8;
/** `MemoryChunk::TO_PAGE`: the other half, where objects are made. */
const TO_PAGE = 16;
const HEADER_BYTES = 96;
/** The second word of a page: its own address, or where its metadata is. */
const SECOND_WORD = 8;

export interface HeapPage {
  /** The page itself, aligned. */
  readonly start: number;
  /** Objects lie in [areaStart, areaEnd). */
  readonly areaStart: number;
  readonly areaEnd: number;
  /** Machine code: no objects of the program. */
  readonly isExecutable: boolean;
  /** The `Heap` it belongs to; 0: read-only space, shared by all isolates. */
  readonly heap: number;
  /** Of the young generation. */
  readonly isYoung: boolean;
  /** Of the half of it that was left empty: what lies there has moved, or has died. */
  readonly isLeft: boolean;
  /** Where V8 keeps what it knows of the page: its header, or its metadata. */
  readonly record: number;
}

/** Every page with objects, sorted by address; those that are left too, which have had some. */
export function findPages(target: Target, view: HeapView): readonly HeapPage[] {
  const pages: HeapPage[] = [];
  const ends = endsOfRuns(target);
  for (const [index, mapping] of target.mappings.entries()) {
    if (mapping.path?.startsWith("/") === true || mapping.presentBytes === 0) continue;
    const first = Math.ceil(mapping.start / PROBE_BYTES) * PROBE_BYTES;
    // of a core, the beginning of a mapping is there; what its header says may be absurd
    const end = Math.min(mapping.end, mapping.start + mapping.presentBytes);
    for (let at = first; at + HEADER_BYTES <= end;) {
      const page = pageAt(target, view.layout.stated, at, mapping.isExecutable);
      // a small page is whole, whether its end was touched yet or not
      const endMost = Math.max(ends[index] ?? end, at + PAGE_BYTES);
      if (page !== null && (page.isLeft || hasObject(view, page)))
        pages.push({ ...page, areaEnd: Math.min(page.areaEnd, endMost) });
      at = page === null ? at + PROBE_BYTES : nextProbe(page);
    }
  }
  return pages.toSorted((a, b) => a.start - b.start);
}

/**
 * For each mapping, where memory ends that begins with it or is joined to it: a page reaches no
 * further, whatever its header says.
 */
function endsOfRuns({ mappings }: Target): readonly number[] {
  const ends: number[] = [];
  let next = -1;
  let runEnd = 0;
  for (const { start, end, presentBytes } of mappings.toReversed()) {
    const isJoined = end === next;
    if (!isJoined) runEnd = Math.min(end, start + presentBytes);
    ends.push(runEnd);
    next = isJoined || presentBytes > 0 ? start : -1;
  }
  return ends.toReversed();
}

function nextProbe({ start, areaEnd }: HeapPage): number {
  return Math.max(start + PROBE_BYTES, Math.ceil(areaEnd / PROBE_BYTES) * PROBE_BYTES);
}

function pageAt(
  target: Target,
  stated: Stated,
  start: number,
  isExecutable: boolean,
): HeapPage | null {
  const header = target.memory.read(start, HEADER_BYTES);
  if (header === null) return null;
  const second = unsigned64(header, SECOND_WORD);
  const isLeft = (header.readUInt32LE(0) & FROM_PAGE) !== 0;
  const isInline = stated.isPageInline === 1;
  if (isInline ? second !== start : second < PROBE_BYTES || second % 8 !== 0) return null;
  const words = isInline ? header : target.memory.read(second, HEADER_BYTES);
  if (words === null) return null;
  const isYoung = !isLeft && (header.readUInt32LE(0) & TO_PAGE) !== 0;
  const areaStart = unsigned64(words, stated.pageAreaStart);
  const areaEnd = unsigned64(words, stated.pageAreaEnd);
  const heap = unsigned64(words, stated.pageHeap);
  const isSane =
    areaStart > start &&
    areaStart < start + PAGE_BYTES &&
    areaStart % 8 === 0 &&
    areaEnd > areaStart &&
    areaEnd - areaStart < AREA_BYTES_MAX;
  // objects of more than a page do not move
  if (!isSane || (isLeft && areaEnd > start + PAGE_BYTES)) return null;
  return { start, areaStart, areaEnd, isExecutable, heap, isYoung, isLeft, record: second };
}

/** A page begins with an object; an empty one, with nothing. */
function hasObject(view: HeapView, page: HeapPage): boolean {
  return view.isMap(view.mapOf(page.areaStart));
}

function unsigned64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
}
