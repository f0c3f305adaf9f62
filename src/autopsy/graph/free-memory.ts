/**
 * Memory that native code has given back to malloc: what lies there was a reference once, and is
 * nobody's now. V8's own lists of work leave thousands of them behind after each collection.
 *
 * ```
 *   main heap:        chunk | chunk | chunk | ... | top      one after the other from its start
 *   heap of threads:  heap_info, malloc_state | chunk | ...  aligned to 64 MiB
 *   chunk: size of the one before | size + flags | content      bit 0: the one before is in use
 * ```
 * Source: malloc/malloc.c of glibc. Small chunks that glibc keeps at hand count as in use, as does
 * everything where the sizes make no sense.
 */
import { NotInMemory } from "../target/memory.ts";
import type { Memory } from "../target/memory.ts";
import type { Mapping } from "../target/target.ts";

const HEADER_BYTES = 16;
const CHUNK_BYTES_MIN = 32;
const CHUNK_ALIGN = 16;
const IN_USE_BEFORE = 1;
/** `HEAP_MAX_SIZE`. */
const THREAD_HEAP_ALIGN = 64 * 1024 * 1024;
/** `heap_info` and `malloc_state` take less. */
const THREAD_HEAP_HEADER_MAX = 4096;
/** The first chunk of an arena is its thread's cache: 0x290 bytes since glibc 2.30. */
const CACHE_BYTES = 0x290;
/** Fewer that make sense may do so by chance; not if the last one ends where the heap does. */
const CHUNKS_MIN = 64;
const CHUNKS_TO_END_MIN = 4;
const CHUNKS_MAX = 50_000_000;

export interface FreeRange {
  readonly start: number;
  readonly end: number;
}

/** The free chunks of a mapping, if it is a heap of glibc; sorted. */
export function freeChunks(memory: Memory, { start, end }: Mapping): readonly FreeRange[] {
  const free: FreeRange[] = [];
  let chunks = 0;
  let isWhole = false;
  try {
    for (let at = firstChunk(memory, start); chunks < CHUNKS_MAX; chunks += 1) {
      const word = memory.word(at + 8);
      const size = word - (word % 8);
      const next = at + size;
      if (size < CHUNK_BYTES_MIN || size % CHUNK_ALIGN !== 0 || next > end) break;
      const isTop = next + HEADER_BYTES > end;
      const isFree = isTop || (memory.u32(next + 8) & IN_USE_BEFORE) === 0;
      if (isFree) free.push({ start: at + HEADER_BYTES, end: next });
      isWhole = isTop && chunks >= CHUNKS_TO_END_MIN;
      if (isTop) break;
      at = next;
    }
  } catch (error) {
    if (!(error instanceof NotInMemory)) throw error;
  }
  return isWhole || chunks >= CHUNKS_MIN ? free : [];
}

function firstChunk(memory: Memory, start: number): number {
  if (start % THREAD_HEAP_ALIGN !== 0) return start;
  for (let at = start; at < start + THREAD_HEAP_HEADER_MAX; at += CHUNK_ALIGN) {
    if ((memory.u32(at + 8) & ~7) === CACHE_BYTES && memory.u32(at + 12) === 0) return at;
  }
  return start;
}
