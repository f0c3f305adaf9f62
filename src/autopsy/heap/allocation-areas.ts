/**
 * The parts of the heap that V8 has set aside and not given out yet. What lies there is what was
 * there before: whole objects of an earlier generation, which look alive and are not.
 *
 * ```
 *   page: object object object | stale stale stale ... | object
 *   area: start ............. top ................ limit
 * ```
 * Those for new and old objects are in the Isolate, where the table of the version says. Those of
 * the other spaces, and of other threads that allocate, belong to allocators, which prove
 * themselves: an allocator has the address of its area, and the area right behind.
 *
 * ```
 *   Heap --> LocalHeap   first word: the Heap; then the ones before and after it in a list
 *            allocator   ... address of the next word | start | top | limit
 * ```
 * Sources: src/heap/local-heap.h, heap-allocator.h, main-allocator.h (`allocation_info_`,
 * `owned_allocation_info_`) of V8.
 */
import { NotInMemory } from "../target/memory.ts";
import type { Memory } from "../target/memory.ts";
import type { V8Process } from "../v8/process.ts";
import type { HeapPage } from "./pages.ts";

/** An area lies within one page, and no page of objects that move is larger (globals.h). */
const AREA_BYTES_MAX = 256 * 1024;

/** A Heap has pointers to its parts within so many bytes. */
const HEAP_BYTES = 16 * 1024;
/** A LocalHeap has its allocators within so many. */
const OWNER_BYTES = 4096;
/** Its neighbours in the list stand within the first words. */
const OWNER_LINK_BYTES = 64;
/** Threads that allocate, and other parts of a Heap that begin like a LocalHeap. */
const OWNERS_MAX = 512;

/** Objects are given out from `start` to `top`; up to `limit` there is room. */
export interface AllocationArea {
  readonly start: number;
  readonly top: number;
  readonly limit: number;
}

/** Each isolate's areas; one that is not open, or whose words make no sense, is left out. */
export function allocationAreas(
  v8: Pick<V8Process, "isolates" | "layout"> & { readonly target: { readonly memory: Memory } },
): readonly AllocationArea[] {
  const areas: AllocationArea[] = [];
  for (const { address } of v8.isolates) {
    for (const offset of v8.layout.stated.allocationAreas) {
      const area = areaAt(v8.target.memory, address + offset);
      if (area !== null) areas.push(area);
    }
  }
  return areas;
}

/** The areas of allocators; see the file's docstring. */
export function ownedAreas(memory: Memory, pages: readonly HeapPage[]): readonly AllocationArea[] {
  const byNumber = new Map(pages.map((page) => [numberOf(page.start), page]));
  const areas: AllocationArea[] = [];
  for (const heap of new Set(pages.map((page) => page.heap))) {
    if (heap === 0) continue;
    const owners = new Set<number>();
    const first = Buffer.alloc(8);
    const follow = (words: readonly number[]): void => {
      for (const word of words) {
        if (owners.size >= OWNERS_MAX || word <= AREA_BYTES_MAX || word % 8 !== 0) continue;
        if (memory.readInto(word, first) === 8 && wordOf(first, 0) === heap) owners.add(word);
      }
    };
    follow(wordsAt(memory, heap, HEAP_BYTES));
    for (const owner of owners) {
      const words = wordsAt(memory, owner, OWNER_BYTES);
      const own = words.filter((word, index) => word === owner + 8 * (index + 1));
      if (own.length > 0) follow(words.slice(0, OWNER_LINK_BYTES / 8));
      for (const word of own) {
        const area = areaAt(memory, word);
        const page = area === null ? undefined : byNumber.get(numberOf(area.start));
        if (area === null || page === undefined || page.heap !== heap) continue;
        if (area.start >= page.areaStart && area.limit <= page.areaEnd) areas.push(area);
      }
    }
  }
  return areas;
}

function numberOf(address: number): number {
  return Math.floor(address / AREA_BYTES_MAX);
}

/** As many as are there. */
function wordsAt(memory: Memory, address: number, bytes: number): readonly number[] {
  const buffer = Buffer.alloc(bytes);
  const present = memory.readInto(address, buffer);
  const words: number[] = [];
  for (let at = 0; at + 8 <= present; at += 8) words.push(wordOf(buffer, at));
  return words;
}

function wordOf(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 4) * 0x1_0000_0000 + buffer.readUInt32LE(at);
}

/** 0: it is not there. */
export function wordAt(memory: Memory, address: number): number {
  try {
    return memory.word(address);
  } catch (error) {
    if (error instanceof NotInMemory) return 0;
    throw error;
  }
}

function areaAt(memory: Memory, address: number): AllocationArea | null {
  try {
    const [start, top, limit] = [0, 8, 16].map((offset) => memory.word(address + offset));
    if (start === undefined || top === undefined || limit === undefined) return null;
    const isSane =
      start > 0 &&
      [start, top, limit].every((word) => word % 8 === 0) &&
      start <= top &&
      top <= limit &&
      limit - start <= AREA_BYTES_MAX;
    return isSane ? { start, top, limit } : null;
  } catch (error) {
    if (error instanceof NotInMemory) return null;
    throw error;
  }
}
