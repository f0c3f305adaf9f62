/**
 * Pages of the young generation that hold nothing yet. V8 fills its pages one after the other, and
 * takes the same ones again two collections later: in those that it has not come to lie the objects
 * of then, whole, or with the address in their first word of where they have moved.
 *
 * ```
 *   list of pages:   full -> full -> the page of the allocation area -> stale -> stale
 *                                    objects | stale
 *                                            ^ top
 * ```
 * Where in a page's record the list is (`next`, `prev`) no constant says; it proves itself: there
 * is one place at which pages name each other.
 */
import type { Memory } from "../target/memory.ts";
import { wordAt } from "./allocation-areas.ts";
import type { AllocationArea } from "./allocation-areas.ts";
import type { HeapPage } from "./pages.ts";
import type { UnusedArea } from "./walk.ts";

/** A record has some hundred bytes. */
const RECORD_BYTES_MAX = 1024;
const WORD_BYTES = 8;

/** Of each allocation area that lies in a young page: what is behind it, in it and in the list. */
export function unusedYoungAreas(
  memory: Memory,
  pages: readonly HeapPage[],
  areas: readonly AllocationArea[],
): readonly UnusedArea[] {
  const young = new Map(pages.filter(({ isYoung }) => isYoung).map((page) => [page.record, page]));
  if (young.size === 0) return [];
  const offset = listOffset(memory, young);
  const unused: UnusedArea[] = [];
  for (const { start, top } of areas) {
    const current = [...young.values()].find(
      (page) => start >= page.areaStart && top <= page.areaEnd && start < page.areaEnd,
    );
    if (current === undefined) continue;
    unused.push({ start: top, end: current.areaEnd });
    if (offset === null) continue;
    const seen = new Set([current.record]);
    for (let at = current.record; ;) {
      at = wordAt(memory, at + offset);
      const page = young.get(at);
      if (page === undefined || seen.has(at)) break;
      seen.add(at);
      unused.push({ start: page.areaStart, end: page.areaEnd });
    }
  }
  return unused;
}

/** Where the list is; null: there is one page, or no place at which all agree. */
function listOffset(memory: Memory, young: ReadonlyMap<number, HeapPage>): number | null {
  let best: { readonly offset: number; readonly links: number } | null = null;
  for (let offset = 0; offset < RECORD_BYTES_MAX; offset += WORD_BYTES) {
    let links = 0;
    for (const record of young.keys()) {
      const next = wordAt(memory, record + offset);
      if (!young.has(next)) continue;
      if (next === record || wordAt(memory, next + offset + WORD_BYTES) !== record) {
        links = 0;
        break;
      }
      links += 1;
    }
    if (links > (best?.links ?? 0)) best = { offset, links };
  }
  return best?.offset ?? null;
}
