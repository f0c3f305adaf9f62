/**
 * What of a process a dump leaves out, though it was touched: memory in which nothing is any more.
 * Of a service that had worked 3,000 requests off it was nearly half of the dump.
 *
 * ```
 *   young generation   | half that was left | objects | top ... limit | pages not come to yet |
 *   malloc             chunk | free chunk: its links | ............... | chunk | ... | top: ..... |
 *                                                     `--- whole pages of these ---'
 * ```
 * Verbs look at none of it: `Heap` passes it over, and references from there are stale. Nothing is
 * left out while a garbage collection is under way, or of a V8 without a table of its own; of an
 * allocator that is not glibc's, all is kept.
 */
import { HoldfastError } from "../../base/mod.ts";
import { readMalloc } from "../graph/malloc.ts";
import { RangeList } from "../graph/ranges.ts";
import type { Range } from "../graph/ranges.ts";
import { allocationAreas } from "../heap/allocation-areas.ts";
import { Heap } from "../heap/walk.ts";
import { readStacks } from "../stack/mod.ts";
import { RegionMemory } from "../target/memory.ts";
import { presentRuns } from "../target/page-runs.ts";
import type { Run } from "../target/page-runs.ts";
import type { Mapping, Target } from "../target/target.ts";
import { HeapView } from "../v8/heap-view.ts";
import { openV8 } from "../v8/process.ts";
import { collectionsOf } from "./collections.ts";

const PAGE_BYTES = 4096;
/** A free chunk begins with its links, and ends with its size (malloc.c: `malloc_chunk`). */
const CHUNK_LINK_BYTES = 64;
/** Chunks are read one by one: of a process with more of them it would take seconds. */
const NATIVE_BYTES_MAX = 512 * 1024 * 1024;

/** The pages of a live target or its copy without those; all, where nothing is known of them. */
export function withoutUnused(target: Target): Target {
  const runs = target.runs ?? presentRuns(target.pid, target.mappings);
  const unused = unusedRanges(target, runs);
  if (unused.length === 0) return target;
  return { ...target, runs: new Map([...runs].map(([key, some]) => [key, without(some, unused)])) };
}

function unusedRanges(target: Target, runs: ReadonlyMap<Mapping, readonly Run[]>): RangeList {
  try {
    const v8 = openV8(target);
    const collections = collectionsOf(v8, () => readStacks(v8));
    if (!v8.layout.choice.isExact || collections.areUnderWay) return RangeList.of([]);
    const present = presentOnly(target, runs);
    const view = new HeapView(present.memory, v8.layout);
    const heap = new Heap(present, view, allocationAreas(v8));
    const unused = [
      ...heap.unused,
      ...freeChunks({ ...target, memory: present.memory }, runs, heap),
    ].map(wholePages);
    return RangeList.of(unused.filter(({ start, end }) => start < end));
  } catch (error) {
    // of a version that nobody has looked at
    if (error instanceof HoldfastError) return RangeList.of([]);
    throw error;
  }
}

/**
 * The same where something is, read page by page: pages of the heap begin there, and to look
 * elsewhere, or at more of them than their heads, would take most of the time.
 */
function presentOnly(target: Target, runs: ReadonlyMap<Mapping, readonly Run[]>): Target {
  const touched = [...runs].flatMap(([mapping, some]) =>
    some.map(([start, end]) => ({ ...mapping, start, end, presentBytes: end - start })),
  );
  const mappings = touched.toSorted((a, b) => a.start - b.start);
  const { readBulk } = target;
  if (readBulk === undefined) return { ...target, mappings };
  const regions = mappings.map(({ start, end }) => {
    return { start, end, read: (at: number, into: Buffer) => readBulk(start + at, into) };
  });
  return { ...target, mappings, memory: new RegionMemory(regions, PAGE_BYTES) };
}

function freeChunks(
  target: Target,
  runs: ReadonlyMap<Mapping, readonly Run[]>,
  { pages }: Heap,
): readonly Range[] {
  let bytes = 0;
  for (const [{ path }, some] of runs)
    if (path === null || path.startsWith("["))
      for (const [start, end] of some) bytes += end - start;
  for (const { start, areaEnd } of pages) bytes -= areaEnd - start;
  if (bytes > NATIVE_BYTES_MAX) return [];
  const { free, isWhole } = readMalloc(target);
  if (!isWhole) return [];
  return free.map(({ start, end }) => ({ start: start + CHUNK_LINK_BYTES, end: end - 8 }));
}

function wholePages({ start, end }: Range): Range {
  return {
    start: Math.ceil(start / PAGE_BYTES) * PAGE_BYTES,
    end: Math.floor(end / PAGE_BYTES) * PAGE_BYTES,
  };
}

/** Takes ranges out of runs. */
function without(runs: readonly Run[], unused: RangeList): readonly Run[] {
  const kept: Run[] = [];
  for (const [start, end] of runs) {
    let at = start;
    for (let index = unused.after(start); unused.startOf(index) < end; index += 1) {
      if (unused.startOf(index) > at) kept.push([at, unused.startOf(index)]);
      at = Math.max(at, unused.endOf(index));
    }
    if (at < end) kept.push([at, end]);
  }
  return kept;
}
