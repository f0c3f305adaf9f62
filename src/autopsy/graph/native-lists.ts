/**
 * Chunks of malloc in use whose references hold nothing alive, told by their form. All of it is of
 * V8, which clears or rewrites it in each collection, or was never written by who has it now.
 *
 * | chunk | form | source in V8 12.4 to 14.6 |
 * | --- | --- | --- |
 * | list of work of the collector | capacity, index; next; entries | heap/base/worklist.h |
 * | stub cache | 2,560 times name, handler, map; the isolate | ic/stub-cache.h |
 * | table of strings | table before; counts; capacity; entries | objects/string-table.cc |
 * | page metadata | the page, which refers back; bits of what is marked | mutable-page-metadata.h |
 * | handles | 256 nodes: object, class, index, state ... | handles/global-handles.cc |
 * | hash table | growth left; a byte for each slot, 0x80 when empty; slots | absl raw_hash_set.h |
 * | set of slots | 128 bytes, of which no word is an address | heap/base/basic-slot-set.h |
 * | not written yet | a link of malloc's where the first word is | glibc, malloc/malloc.c |
 *
 * Of handles only those that are free or weak are left out, of hash tables what is no entry.
 */
import type { Memory } from "../target/memory.ts";
import { taggedFromHalves } from "../v8/tagged.ts";
import type { Malloc } from "./malloc.ts";
import type { Range } from "./ranges.ts";

/** Smaller chunks are not looked at: lists are larger, and there are millions of small ones. */
const CHUNK_BYTES_MIN = 256;
const HEAD_BYTES = 32;
/** A chunk is larger than what was asked for by less than so much. */
const SLACK_BYTES = 24;
const PAGE_BYTES = 4096;
const HEAP_PAGE_BYTES = 256 * 1024;

/** `SlotSet::Bucket`: 32 cells of 32 bits. */
const CELLS_BYTES = 128;
/** `Worklist::Segment`: entries of one to four words. */
const SEGMENT_HEADER_BYTES = 16;
const SEGMENT_CAPACITY_MIN = 16;
const SEGMENT_ENTRY_BYTES = [8, 16, 24, 32];
/** 2,048 primary and 512 secondary entries. */
const STUB_CACHE_ENTRIES = 2_560;
const STUB_ENTRY_BYTES = 24;
/** `StringTable::Data`: header; at least so many entries. */
const STRINGS_HEADER_BYTES = 24;
const STRINGS_MIN = 2_048;
/** `growth_left`; bytes of control; the first of them again (`Group::kWidth - 1`). */
const HASH_GROWTH_BYTES = 8;
const HASH_CLONED = 15;
const HASH_EMPTY = 0x80;
const HASH_DELETED = 0xfe;
const HASH_SENTINEL = 0xff;
/** Below, the bytes of control are too few to tell it from anything else. */
const HASH_CAPACITY_MIN = 31;
const HASH_CAPACITY_MAX = 2 ** 24 - 1;
const HASH_SLOT_BYTES_MAX = 128;
/** `GlobalHandles::NodeBlock`. */
const NODES = 256;
const NODE_BYTES = 32;
const NODE_INDEX = 10;
const NODE_STATE = 11;
const STATE_MASK = 3;
const STATE_NORMAL = 1;

/** Ranges of chunks to pass over, sorted. */
export function* holdNothing(memory: Memory, { chunks, bins }: Malloc): Generator<Range> {
  const head = Buffer.alloc(HEAD_BYTES);
  const word = (at: number): number => head.readUInt32LE(at) + head.readUInt32LE(at + 4) * 2 ** 32;
  for (let index = 0; index < chunks.length; index += 1) {
    const [start, end] = [chunks.startOf(index), chunks.endOf(index)];
    const bytes = end - start;
    if (bytes === CELLS_BYTES + 8 && isCells(memory, start)) yield { start, end };
    if (bytes < CHUNK_BYTES_MIN || memory.readInto(start, head) < HEAD_BYTES) continue;
    const isBin = (address: number): boolean => bins.startOf(bins.after(address)) <= address;
    const isList =
      isBin(word(0)) ||
      isBin(word(8)) ||
      isSegment(head, bytes) ||
      isStrings(head, bytes) ||
      [0, 8].some((at) => isPageOf(memory, word(at), start)) ||
      isStubCache(memory, start, bytes);
    const hashed = isList ? null : hashTable(memory, start, bytes);
    if (isList) yield { start, end };
    else if (hashed === null) yield* deadHandles(memory, start, bytes);
    else yield* hashed;
  }
}

/** Bits of a set of slots: the word behind them was not asked for, and is of another owner. */
function isCells(memory: Memory, start: number): boolean {
  const cells = memory.read(start, CELLS_BYTES + 8);
  if (cells === null || (cells.readUInt32LE(CELLS_BYTES) & 3) !== 1) return false;
  for (let at = 0; at < CELLS_BYTES; at += 8) {
    const word = cells.readUInt32LE(at) + cells.readUInt32LE(at + 4) * 2 ** 32;
    if (word !== 0 && memory.read(word - (word % 8), 8) !== null) return false;
  }
  return true;
}

/** A page refers to what is known of it, and is referred to from there. */
function isPageOf(memory: Memory, page: number, metadata: number): boolean {
  if (page === 0 || page % HEAP_PAGE_BYTES !== 0) return false;
  const there = memory.read(page + 8, 8);
  if (there === null) return false;
  return there.readUInt32LE(0) + there.readUInt32LE(4) * 2 ** 32 === metadata;
}

/** Full or empty, of entries of any size. */
function isSegment(head: Buffer, bytes: number): boolean {
  const [capacity, index] = [head.readUInt16LE(0), head.readUInt16LE(2)];
  if (head.readUInt32LE(4) !== 0 || capacity < SEGMENT_CAPACITY_MIN || index > capacity)
    return false;
  const next = head.readUInt32LE(8);
  if (next % 8 !== 0 || head.readUInt16LE(14) !== 0) return false;
  return SEGMENT_ENTRY_BYTES.some((entry) => {
    const rest = bytes - SEGMENT_HEADER_BYTES - capacity * entry;
    return rest >= 0 && rest < SLACK_BYTES + entry;
  });
}

function isStrings(head: Buffer, bytes: number): boolean {
  const [count, capacity] = [head.readUInt32LE(8), head.readUInt32LE(16)];
  const rest = bytes - STRINGS_HEADER_BYTES - 8 * capacity;
  const isTable = capacity >= STRINGS_MIN && (capacity & (capacity - 1)) === 0;
  return isTable && count > 0 && count <= capacity && rest >= 0 && rest < SLACK_BYTES;
}

function isStubCache(memory: Memory, start: number, bytes: number): boolean {
  const entries = STUB_CACHE_ENTRIES * STUB_ENTRY_BYTES;
  if (bytes < entries + 8 || bytes >= entries + 8 + SLACK_BYTES) return false;
  const body = memory.read(start, entries + 8);
  if (body === null) return false;
  for (let at = 0; at < entries; at += STUB_ENTRY_BYTES) {
    if ((body.readUInt32LE(at) & 3) !== 1 || (body.readUInt32LE(at + 16) & 3) === 3) return false;
  }
  return body.readUInt32LE(entries) % PAGE_BYTES === 0;
}

/**
 * A table of Abseil (`raw_hash_set`, since V8 13): what its empty slots have is of who had the
 * memory before. Null: it is none.
 */
function hashTable(memory: Memory, start: number, bytes: number): readonly Range[] | null {
  // the largest that fits: of one with smaller slots, the byte behind the slots is none of it
  for (let capacity = HASH_CAPACITY_MAX; capacity >= HASH_CAPACITY_MIN; capacity >>>= 1) {
    const headBytes = Math.ceil((HASH_GROWTH_BYTES + capacity + 1 + HASH_CLONED) / 8) * 8;
    if (headBytes + 4 * capacity > bytes) continue;
    const slotBytes = Math.floor((bytes - headBytes) / capacity);
    // most tables are not of this size: one byte tells
    const end = memory.read(start + HASH_GROWTH_BYTES + capacity, 1);
    if (end?.[0] !== HASH_SENTINEL || slotBytes > HASH_SLOT_BYTES_MAX) continue;
    const head = memory.read(start, headBytes);
    if (head === null || !isControl(head, capacity)) continue;
    // what is not of whole words has no references
    if (slotBytes % 8 !== 0) return [{ start, end: start + bytes }];
    const slots = start + headBytes;
    const ranges: Range[] = [{ start, end: slots }];
    for (let slot = 0; slot < capacity; slot += 1) {
      const isEmpty = (head[HASH_GROWTH_BYTES + slot] ?? 0) >= 0x80;
      const at = slots + slot * slotBytes;
      if (isEmpty) ranges.push({ start: at, end: at + slotBytes });
    }
    return ranges;
  }
  return null;
}

/** As many empty slots as the word before says, and the first bytes once more behind the last. */
function isControl(head: Buffer, capacity: number): boolean {
  let [full, deleted] = [0, 0];
  for (let slot = 0; slot < capacity; slot += 1) {
    const state = head[HASH_GROWTH_BYTES + slot] ?? 0;
    if (state < 0x80) full += 1;
    else if (state === HASH_DELETED) deleted += 1;
    else if (state !== HASH_EMPTY) return false;
  }
  for (let slot = 0; slot < HASH_CLONED; slot += 1) {
    const again = head[HASH_GROWTH_BYTES + capacity + 1 + slot];
    if (again !== head[HASH_GROWTH_BYTES + slot]) return false;
  }
  const growthLeft = head.readUInt32LE(0);
  const most = capacity - (capacity >>> 3);
  return full > 0 && growthLeft + full <= most && growthLeft + full + deleted >= most;
}

/** Handles that are free, or weak: those keep nothing alive. */
function* deadHandles(memory: Memory, start: number, bytes: number): Generator<Range> {
  const body = handleBlock(memory, start, bytes);
  if (body === null) return;
  for (let at = 0; at < body.length; at += NODE_BYTES) {
    const state = (body[at + NODE_STATE] ?? 0) & STATE_MASK;
    if (state !== STATE_NORMAL) yield { start: start + at, end: start + at + 8 };
  }
}

/** Objects that handles of a chunk keep alive, without their tag; none: it has no handles. */
export function* liveHandles(memory: Memory, start: number, bytes: number): Generator<number> {
  const body = handleBlock(memory, start, bytes);
  if (body === null) return;
  for (let at = 0; at < body.length; at += NODE_BYTES) {
    const state = (body[at + NODE_STATE] ?? 0) & STATE_MASK;
    const low = body.readUInt32LE(at);
    if (state === STATE_NORMAL && (low & 3) === 1)
      yield taggedFromHalves(low, body.readUInt32LE(at + 4));
  }
}

function handleBlock(memory: Memory, start: number, bytes: number): Buffer | null {
  const nodesBytes = NODES * NODE_BYTES;
  if (bytes < nodesBytes || bytes > nodesBytes + 128) return null;
  const body = memory.read(start, nodesBytes);
  if (body === null) return null;
  for (let index = 0; index < NODES; index += 1) {
    if (body[index * NODE_BYTES + NODE_INDEX] !== index) return null;
  }
  return body;
}
