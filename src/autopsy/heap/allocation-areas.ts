/**
 * The parts of the heap that V8 has set aside and not given out yet. What lies there is what was
 * there before: whole objects of an earlier generation, which look alive and are not.
 *
 * ```
 *   page: object object object | stale stale stale ... | object
 *   area: start ............. top ................ limit
 * ```
 */
import { NotInMemory } from "../target/memory.ts";
import type { Memory } from "../target/memory.ts";
import type { V8Process } from "../v8/process.ts";

/** An area lies within one page, and no page of objects that move is larger (globals.h). */
const AREA_BYTES_MAX = 256 * 1024;

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
