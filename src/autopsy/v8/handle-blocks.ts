/**
 * The handles of an isolate that are open: what C++ refers to while it runs.
 *
 * ```
 *   Isolate -> HandleScopeImplementer: isolate; address of the list of blocks, room in it, count
 *                 `-> block, block, block   all are full but the last one, which has handles up to
 *                                           the next (HandleScopeData in Isolate: next, limit)
 * ```
 * Source: src/handles/handles.h, src/api/api.h of V8 12.4 to 14.6.
 */
import type { Memory } from "../target/memory.ts";

/** Blocks of 1,022 handles (`kHandleBlockSize` of globals.h). */
export const HANDLE_BLOCK_BYTES = 8_176;
/** From 12.4 to 14.6 it has 66 to 72 kB. */
const ISOLATE_BYTES_MAX = 160 * 1024;
/** More are none: 800 MB of handles. */
const BLOCKS_MAX = 100_000;

export interface HandleBlock {
  readonly start: number;
  /** What of it is open. */
  readonly bytes: number;
}

/** The blocks of an isolate, the oldest first; none: they were not found. */
export function handleBlocks(memory: Memory, isolate: number): readonly HandleBlock[] {
  const own = Buffer.alloc(ISOLATE_BYTES_MAX);
  const words = wordsOf(own.subarray(0, memory.readInto(isolate, own)));
  for (const at of words) {
    if (!isAddress(at)) continue;
    const scopes = memory.read(at, 32);
    if (scopes === null) continue;
    const [self, list = 0, room = 0, count = 0] = wordsOf(scopes);
    if (self !== isolate || count === 0 || count > room || count > BLOCKS_MAX) continue;
    const starts = memory.read(list, 8 * count);
    const blocks = starts === null ? [] : wordsOf(starts);
    const last = blocks.at(-1) ?? 0;
    if (!blocks.every(isAddress)) continue;
    const next = nextHandle(words, last);
    if (blocks.length < count || next === null) continue;
    return blocks.map((start, index) => {
      return { start, bytes: index < count - 1 ? HANDLE_BLOCK_BYTES : next - last };
    });
  }
  return [];
}

function isAddress(word: number): boolean {
  return word >= 4_096 && word % 8 === 0 && Number.isSafeInteger(word);
}

/** The next handle of the last block that is open; null: the isolate has none there. */
function nextHandle(words: readonly number[], block: number): number | null {
  for (const [index, next] of words.entries()) {
    const limit = words[index + 1] ?? 0;
    if (next >= block && next <= limit && limit <= block + HANDLE_BLOCK_BYTES) return next;
  }
  return null;
}

function wordsOf(bytes: Buffer): readonly number[] {
  return Array.from({ length: bytes.length >>> 3 }, (_, index) => {
    return bytes.readUInt32LE(8 * index) + bytes.readUInt32LE(8 * index + 4) * 2 ** 32;
  });
}
