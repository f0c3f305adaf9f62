/**
 * Journals: the bytes of requests in flight, in blocks of the worker's arena.
 *
 * ```
 *   arena:  inbox (64 KiB) | block 0 | block 1 | ...
 *   block:  i32 next block + 1 (0: last) | i32 reserved | 2,040 bytes
 * ```
 * Reads of a worker land in its inbox first, by the kernel's own hand, so that there is no moment
 * at which bytes have left the socket and are not in the ledger. The worker copies them on to the
 * blocks of their connection. The list of free blocks is the worker's alone and lives in its own
 * memory: when it has died, nobody allocates there.
 */
import {
  ARENA_BYTES,
  INBOX_BYTES,
  JOURNAL_BLOCKS,
  JOURNAL_BLOCK_BYTES,
  JOURNAL_BLOCK_HEADER_BYTES,
  arenaOffset,
} from "./layout.ts";
import type { LedgerShape } from "./layout.ts";

/** Bytes of a journal that one block holds. */
export const BLOCK_PAYLOAD_BYTES: number = JOURNAL_BLOCK_BYTES - JOURNAL_BLOCK_HEADER_BYTES;

/** Views that are kept: of reads shorter than this. */
const VIEWS_MAX = 2048;

/** The arena of one worker row: for its worker to write, for the reactor to read. */
export class JournalArena {
  /** Where the worker's reads land. */
  readonly inbox: Buffer;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #free: Int32Array;
  #freeCount: number;
  readonly #views: (Buffer | undefined)[] = Array.from({ length: VIEWS_MAX });

  constructor(memory: ArrayBuffer, shape: LedgerShape, row: number) {
    const offset = arenaOffset(shape, row);
    this.inbox = Buffer.from(memory, offset, INBOX_BYTES);
    this.#bytes = new Uint8Array(memory, offset, ARENA_BYTES);
    this.#words = new Int32Array(memory, offset, ARENA_BYTES >> 2);
    this.#free = Int32Array.from(
      { length: JOURNAL_BLOCKS },
      (_, index) => JOURNAL_BLOCKS - 1 - index,
    );
    this.#freeCount = JOURNAL_BLOCKS;
  }

  /**
   * The first `bytes` of the inbox: one view for each length, since most reads are short and alike.
   */
  inboxView(bytes: number): Buffer {
    if (bytes >= VIEWS_MAX) return this.inbox.subarray(0, bytes);
    return (this.#views[bytes] ??= this.inbox.subarray(0, bytes));
  }

  get freeBlocks(): number {
    return this.#freeCount;
  }

  /**
   * A block for the bytes that follow, linked behind `previous` (-1: the first). -1 when none is
   * free.
   */
  allocate(previous: number): number {
    if (this.#freeCount === 0) return -1;
    this.#freeCount -= 1;
    const block = this.#free[this.#freeCount] ?? -1;
    this.#words[this.#wordOf(block)] = 0;
    if (previous >= 0) this.#words[this.#wordOf(previous)] = block + 1;
    return block;
  }

  /** Gives a chain of blocks back, up to the first link that cannot be one. */
  release(first: number): void {
    let block = first;
    while (block >= 0 && block < JOURNAL_BLOCKS && this.#freeCount < JOURNAL_BLOCKS) {
      const next = (this.#words[this.#wordOf(block)] ?? 0) - 1;
      this.#free[this.#freeCount] = block;
      this.#freeCount += 1;
      block = next;
    }
  }

  /** Gives the blocks behind this one back, which is then the last of its chain. */
  releaseBehind(block: number): void {
    const word = this.#wordOf(block);
    const next = (this.#words[word] ?? 0) - 1;
    this.#words[word] = 0;
    this.release(next);
  }

  /** Copies bytes into a block at `at`; they must fit. */
  write(bytes: Uint8Array, block: number, at: number): void {
    this.#bytes.set(bytes, this.#payloadOf(block) + at);
  }

  /**
   * The bytes of a chain: a copy of exactly `bytes`, or null when the chain is not one (a reader
   * never trusts an index: every link is checked, and the walk is bounded).
   */
  read(first: number, bytes: number): Buffer | null {
    if (bytes < 0 || bytes > JOURNAL_BLOCKS * BLOCK_PAYLOAD_BYTES) return null;
    const result = Buffer.allocUnsafe(bytes);
    let block = first;
    for (let at = 0; at < bytes; at += BLOCK_PAYLOAD_BYTES) {
      if (!Number.isInteger(block) || block < 0 || block >= JOURNAL_BLOCKS) return null;
      const from = this.#payloadOf(block);
      result.set(this.#bytes.subarray(from, from + Math.min(BLOCK_PAYLOAD_BYTES, bytes - at)), at);
      block = (this.#words[this.#wordOf(block)] ?? 0) - 1;
    }
    return result;
  }

  #wordOf(block: number): number {
    return (INBOX_BYTES + block * JOURNAL_BLOCK_BYTES) >> 2;
  }

  #payloadOf(block: number): number {
    return INBOX_BYTES + block * JOURNAL_BLOCK_BYTES + JOURNAL_BLOCK_HEADER_BYTES;
  }
}
