/**
 * Memory that native code has given back to malloc: what lies there was a reference once, and is
 * nobody's now. V8's own lists of work leave thousands of them behind after each collection.
 *
 * ```
 *   malloc_state (arena) --next--> malloc_state --next--> ... the main one, in libc's data
 *     fastbins, top                   `-- heaps of 64 MiB: heap_info | chunk | chunk | ... | top
 *   main heap (brk): chunk | chunk | ... | top
 *   chunk: size of the one before | size + flags | content      bit 0: the one before is in use
 *   cache of a thread (a chunk itself): 64 counts | 64 lists of chunks that count as in use
 * ```
 * Source: malloc/malloc.c and arena.c of glibc 2.30 to 2.41, x86-64. A heap whose chunks do not add
 * up to its top, a list that leaves its arena, another allocator (musl): nothing of it is free.
 */
import { NotInMemory } from "../target/memory.ts";
import type { Memory } from "../target/memory.ts";
import type { Target } from "../target/target.ts";
import { RangeList } from "./ranges.ts";
import type { Range } from "./ranges.ts";

/** `HEAP_MAX_SIZE`. */
const THREAD_HEAP_BYTES = 64 * 1024 * 1024;
const PAGE_BYTES = 4096;
const CHUNK_HEADER_BYTES = 16;
const CHUNK_ALIGN = 16;
const CHUNK_BYTES_MIN = 32;
const CHUNK_BYTES_MAX = 2 ** 40;
const IN_USE_BEFORE = 1;
const CHUNKS_MAX = 50_000_000;
const ARENAS_MAX = 1_024;
/** `malloc_state`: `fastbinsY`, `top`, `bins`, `next`, `system_mem`, its size. */
const FAST_BINS = 16;
const FAST_BINS_COUNT = 10;
const TOP = 96;
const BINS = 112;
const BINS_COUNT = 127;
const NEXT_ARENA = 2160;
const SYSTEM_BYTES = 2184;
const ARENA_BYTES = 2200;
/** Of so many lists of free chunks most are empty: they refer to themselves. */
const EMPTY_BINS_MIN = 32;
/** `heap_info`: arena, heap before, size. */
const HEAP_ARENA = 0;
const HEAP_BYTES = 16;
/** `tcache_perthread_struct`: 64 counts of 16 bits, 64 lists. */
const CACHE_BYTES = 0x290;
const CACHE_LISTS = 64;
const CACHE_HEADS = 128;
const LIST_LENGTH_MAX = 65_535;

export interface Malloc {
  /** What was given back. */
  readonly free: readonly Range[];
  /** Contents of the chunks that are in use, or at hand for a thread: those are in `free` too. */
  readonly chunks: RangeList;
  /** Addresses that only lists of free chunks have: where a bin is. */
  readonly bins: RangeList;
  /** False: no arena of glibc was found, or one makes no sense: nothing is known of its memory. */
  readonly isWhole: boolean;
}

/** The chunks of every arena. */
export function readMalloc(target: Pick<Target, "memory" | "mappings">): Malloc {
  const { memory } = target;
  const heaps = threadHeaps(target);
  const arenas = findArenas(target, heaps);
  const walked = arenas.map((arena) => walkArena(target, arena, heaps));
  const spans = walked.flatMap((each) => each ?? []).toSorted((a, b) => a.start - b.start);
  const free: Range[] = [];
  const chunks = new RangeList();
  for (const span of spans) {
    for (const chunk of span.free) free.push(chunk);
    for (let index = 0; index < span.chunks.length; index += 1)
      chunks.add(span.chunks.startOf(index), span.chunks.endOf(index));
  }
  for (const arena of arenas)
    for (const chunk of fastChunks(memory, arena, chunks)) free.push(chunk);
  for (const chunk of cachedChunks(memory, chunks)) free.push(chunk);
  const bins = RangeList.of(
    arenas.map((arena) => ({ start: arena + TOP, end: arena + NEXT_ARENA })),
  );
  const isWhole = arenas.length > 0 && !walked.includes(null);
  return { free, chunks, bins, isWhole };
}

/** Aligned heaps of threads: where each begins, and its arena. */
function threadHeaps({ memory, mappings }: Pick<Target, "memory" | "mappings">) {
  const heaps: { start: number; arena: number; end: number }[] = [];
  for (const { start, isWritable, presentBytes, path } of mappings) {
    if (!isWritable || presentBytes === 0 || path?.startsWith("/") === true) continue;
    let at = Math.ceil(start / THREAD_HEAP_BYTES) * THREAD_HEAP_BYTES;
    for (; at < start + presentBytes; at += THREAD_HEAP_BYTES) {
      const arena = wordAt(memory, at + HEAP_ARENA) ?? 0;
      const bytes = wordAt(memory, at + HEAP_BYTES) ?? 0;
      if (arena === 0 || arena % 8 !== 0) continue;
      const isSane = bytes > 0 && bytes <= THREAD_HEAP_BYTES && bytes % PAGE_BYTES === 0;
      if (isSane) heaps.push({ start: at, arena, end: at + bytes });
    }
  }
  return heaps;
}

type ThreadHeap = ReturnType<typeof threadHeaps>[number];

function findArenas(
  target: Pick<Target, "memory" | "mappings">,
  heaps: readonly ThreadHeap[],
): readonly number[] {
  const { memory } = target;
  const found = new Set<number>();
  for (const { arena } of heaps) {
    let at = arena;
    while (found.size < ARENAS_MAX && !found.has(at) && isArena(memory, at)) {
      found.add(at);
      at = wordAt(memory, at + NEXT_ARENA) ?? 0;
    }
  }
  if (found.size > 0) return [...found];
  for (const arena of mainArenas(target)) {
    // it only looks like one
    if (walkArena(target, arena, heaps) !== null) return [arena];
  }
  return [];
}

/** The arena in the data of libc, where no thread has one that leads to it. */
function* mainArenas({ memory, mappings }: Pick<Target, "memory" | "mappings">): Generator<number> {
  for (const { start, end, isWritable, presentBytes, path } of mappings) {
    if (!isWritable || presentBytes === 0 || !/\/libc[.-][^/]*$/u.test(path ?? "")) continue;
    for (let at = start; at + ARENA_BYTES <= Math.min(end, start + presentBytes); at += 8) {
      if (isArena(memory, at)) yield at;
    }
  }
}

function isArena(memory: Memory, arena: number): boolean {
  if (arena === 0 || arena % 8 !== 0) return false;
  const at = (offset: number): number => wordAt(memory, arena + offset) ?? 0;
  const [top, next, bytes] = [at(TOP), at(NEXT_ARENA), at(SYSTEM_BYTES)];
  if (top === 0 || next === 0 || bytes === 0) return false;
  if (top % CHUNK_ALIGN !== 0 || bytes % PAGE_BYTES !== 0) return false;
  if ((top + chunkBytes(wordAt(memory, top + 8) ?? 0)) % PAGE_BYTES !== 0) return false;
  let empty = 0;
  for (let bin = 0; bin < BINS_COUNT; bin += 1) {
    const first = arena + BINS + 16 * bin;
    if (at(first - arena) === first - 16 && at(first - arena + 8) === first - 16) empty += 1;
  }
  return empty >= EMPTY_BINS_MIN;
}

/** Chunks one after the other, up to `end`. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly free: Range[];
  readonly chunks: RangeList;
}

/** What an arena has; null: that makes no sense. */
function walkArena(
  { memory, mappings }: Pick<Target, "memory" | "mappings">,
  arena: number,
  heaps: readonly ThreadHeap[],
): readonly Span[] | null {
  const top = wordAt(memory, arena + TOP) ?? 0;
  const own = heaps.filter((heap) => heap.arena === arena);
  if (own.length > 0) {
    const infoBytes = arena % THREAD_HEAP_BYTES;
    const spans = own.flatMap(({ start, end }) => {
      const isFirst = arena > start && arena < end;
      const first = isFirst ? arena + ARENA_BYTES : start + infoBytes;
      return walkSpan(memory, aligned(first), end, top) ?? [];
    });
    return spans.length === own.length ? spans : null;
  }
  const end = top + chunkBytes(wordAt(memory, top + 8) ?? 0);
  const bytes = wordAt(memory, arena + SYSTEM_BYTES) ?? 0;
  const whole = bytes < end ? walkSpan(memory, aligned(end - bytes), end, top) : null;
  if (whole !== null) return [whole];
  // where brk met something else, the rest is mapped
  const scattered = mappings.flatMap((mapping) => {
    const { start, isWritable, presentBytes, path } = mapping;
    const isPossible = isWritable && presentBytes > 0 && path?.startsWith("/") !== true;
    if (!isPossible || heaps.some((heap) => heap.start === start)) return [];
    return (
      walkSpan(memory, start, top >= start ? Math.max(end, mapping.end) : mapping.end, top) ?? []
    );
  });
  const total = scattered.reduce((sum, span) => sum + span.end - span.start, 0);
  return total === bytes ? scattered : null;
}

function aligned(address: number): number {
  return Math.ceil(address / CHUNK_ALIGN) * CHUNK_ALIGN;
}

/** @returns null when the chunks do not lead to the end */
function walkSpan(memory: Memory, start: number, end: number, top: number): Span | null {
  const [free, chunks]: [Range[], RangeList] = [[], new RangeList()];
  const upTo = (reached: number): Span => ({ start, end: reached, free, chunks });
  let posts = 0;
  try {
    for (let at = start, count = 0; count < CHUNKS_MAX; count += 1) {
      const bytes = chunkBytes(memory.word(at + 8));
      const next = at + bytes;
      if (at === top && next % PAGE_BYTES === 0) {
        free.push({ start: at + CHUNK_HEADER_BYTES, end: next });
        return upTo(next);
      }
      // behind the last chunk of a part that another one follows are two without content
      posts = bytes === CHUNK_HEADER_BYTES ? posts + 1 : 0;
      if (posts === 2) return upTo(next);
      if (bytes === 0) return end - at <= 2 * CHUNK_HEADER_BYTES ? upTo(end) : null;
      if (bytes < CHUNK_HEADER_BYTES || bytes % CHUNK_ALIGN !== 0 || next >= end) return null;
      const isUsed = posts > 0 || (memory.u32(next + 8) & IN_USE_BEFORE) !== 0;
      // its last word is where the next one has the size of a free one
      const content = { start: at + CHUNK_HEADER_BYTES, end: next + (isUsed ? 8 : 0) };
      if (isUsed && posts === 0) chunks.add(content.start, content.end);
      else if (posts === 0) free.push(content);
      at = next;
    }
  } catch (error) {
    if (!(error instanceof NotInMemory)) throw error;
  }
  return null;
}

function chunkBytes(word: number): number {
  return word < CHUNK_BYTES_MAX ? word - (word % 8) : 0;
}

/** Small chunks of an arena that were freed and still count as in use. */
function* fastChunks(memory: Memory, arena: number, chunks: RangeList): Generator<Range> {
  for (let bin = 0; bin < FAST_BINS_COUNT; bin += 1) {
    const head = wordAt(memory, arena + FAST_BINS + 8 * bin) ?? 0;
    if (head !== 0) yield* listed(memory, head + CHUNK_HEADER_BYTES, CHUNK_HEADER_BYTES, chunks);
  }
}

/** What threads keep at hand for themselves. */
function* cachedChunks(memory: Memory, chunks: RangeList): Generator<Range> {
  for (let index = 0; index < chunks.length; index += 1) {
    const [start, end] = [chunks.startOf(index), chunks.endOf(index)];
    if (end - start !== CACHE_BYTES - 8 || !isCache(memory, start, chunks)) continue;
    for (let list = 0; list < CACHE_LISTS; list += 1) {
      const head = wordAt(memory, start + CACHE_HEADS + 8 * list) ?? 0;
      if (head !== 0) yield* listed(memory, head, 0, chunks);
    }
  }
}

/** Each list has chunks of its size, and is empty when it counts none. */
function isCache(memory: Memory, at: number, chunks: RangeList): boolean {
  const counts = memory.read(at, CACHE_HEADS);
  for (let list = 0; list < CACHE_LISTS; list += 1) {
    const head = wordAt(memory, at + CACHE_HEADS + 8 * list);
    if (counts === null || head === null) return false;
    if ((head === 0) !== (counts.readUInt16LE(2 * list) === 0)) return false;
    const chunk = head === 0 ? -1 : chunks.startingAt(head);
    if (head !== 0 && chunks.endOf(chunk) !== head + CHUNK_BYTES_MIN - 8 + CHUNK_ALIGN * list)
      return false;
  }
  return true;
}

/**
 * A list of freed chunks; `to` is added to a link. Since glibc 2.32 a link is mixed with the place
 * where it is (`PROTECT_PTR`).
 */
function* listed(memory: Memory, head: number, to: number, chunks: RangeList): Generator<Range> {
  let at = head;
  for (let count = 0; count < LIST_LENGTH_MAX; count += 1) {
    const chunk = chunks.startingAt(at);
    const link = chunk < 0 ? null : wordAt(memory, at);
    if (link === null) return;
    yield { start: at, end: chunks.endOf(chunk) };
    const mixed = Number(BigInt(link) ^ BigInt(Math.floor(at / PAGE_BYTES))) + to;
    at = chunks.startingAt(mixed) < 0 ? link + to : mixed;
  }
}

/** A word that may be an address; null: it is not there, or none. */
function wordAt(memory: Memory, address: number): number | null {
  try {
    const word = memory.word(address);
    return Number.isSafeInteger(word) ? word : null;
  } catch (error) {
    if (error instanceof NotInMemory) return null;
    throw error;
  }
}
