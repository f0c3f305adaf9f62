/**
 * All memory of a process that is its own, copied into a file: for what does not fit into ours, or
 * should not. Most of it is copied while the process runs; then it stands still only as long as it
 * takes to read everything once more, and to write what has become different.
 *
 * ```
 *   it runs            block -> file, its sum      ... block -> file, its sum     to the disk
 *   it stands still    block, other sum -> file    ... block, same sum: nothing
 *   it runs            read(address) -> from the file
 *
 *   block: 64 KiB of addresses; in the file, the pages of it that are there, one behind the other
 *   sum:   crc32 of these; that a change is overlooked happens once in 4,000,000,000 of them
 * ```
 * The file has no name any more as soon as it is open: nothing is left of it, whatever happens.
 */
import { closeSync, fdatasyncSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import type { Run } from "./page-runs.ts";
import { fillParts } from "./whole-copy.ts";
import type { AllCopy, BulkReader } from "./whole-copy.ts";

const PAGE_BYTES = 4096;
const BLOCK_PAGES = 16;
const BLOCK_BYTES = BLOCK_PAGES * PAGE_BYTES;
/** So many bytes are read from the process in one call. */
const BATCH_BYTES = 4 * 1024 * 1024;

/** Pages of one block, and what they hold, in the order of addresses. */
interface Block {
  readonly start: number;
  /** A bit for each page that is there. */
  readonly pages: number;
  readonly parts: readonly Run[];
  readonly bytes: number;
}

/** What is in the file of one block. */
interface Slot {
  readonly offset: number;
  readonly pages: number;
  readonly sum: number;
}

export class FileCopy implements AllCopy {
  readonly #file: number;
  readonly #slots = new Map<number, Slot>();
  /** Bytes of the file that are given to slots. */
  #end = 0;
  #isOpen = true;

  /** @throws the error of the file system when there is no file to be made in that place */
  constructor(path: string) {
    this.#file = openSync(path, "wx+", 0o600); // secrets are in there
    unlinkSync(path);
  }

  /**
   * Copies these pages; what is in the file already is not written again. Runs are sorted.
   * @param onProgress told how many bytes are done
   * @throws the error of the file system
   */
  fill(runs: readonly Run[], read: BulkReader, onProgress = (_bytes: number): void => {}): void {
    const buffer = Buffer.allocUnsafe(BATCH_BYTES);
    const seen = new Set<number>();
    let batch: Block[] = [];
    let [batchBytes, done] = [0, 0];
    const flush = (): void => {
      this.#take(batch, buffer.subarray(0, batchBytes), read);
      done += batchBytes;
      onProgress(done);
      [batch, batchBytes] = [[], 0];
    };
    for (const block of blocksOf(runs)) {
      if (batchBytes + block.bytes > buffer.length) flush();
      batch.push(block);
      batchBytes += block.bytes;
      seen.add(block.start);
    }
    flush();
    // what has gone meanwhile is not there any more
    for (const start of this.#slots.keys()) if (!seen.has(start)) this.#slots.delete(start);
  }

  /** To the disk: what is written next does not have to wait for that. */
  flush(): void {
    fdatasyncSync(this.#file);
  }

  #take(blocks: readonly Block[], into: Buffer, read: BulkReader): void {
    const parts = blocks.flatMap((block) => block.parts);
    fillParts(parts, into, read);
    let at = 0;
    for (const { start, pages, bytes } of blocks) {
      const body = into.subarray(at, at + bytes);
      at += bytes;
      const sum = crc32(body);
      const slot = this.#slots.get(start);
      if (slot?.pages === pages && slot.sum === sum) continue;
      const offset = slot?.offset ?? this.#end;
      if (slot === undefined) this.#end += BLOCK_BYTES;
      for (let done = 0; done < bytes;)
        done += writeSync(this.#file, body, done, bytes - done, offset + done);
      this.#slots.set(start, { offset, pages, sum });
    }
  }

  /** The leading bytes from an address on that were copied; how many. */
  read(address: number, into: Buffer): number {
    let done = 0;
    while (done < into.length && this.#isOpen) {
      const at = address + done;
      const start = at - (at % BLOCK_BYTES);
      const slot = this.#slots.get(start);
      if (slot === undefined) break;
      const page = Math.floor((at - start) / PAGE_BYTES);
      let end = page;
      while (end < BLOCK_PAGES && ((slot.pages >>> end) & 1) === 1) end += 1;
      const wanted = Math.min(start + end * PAGE_BYTES - at, into.length - done);
      if (wanted <= 0) break;
      const before = ones(slot.pages & ((1 << page) - 1)) * PAGE_BYTES;
      const position = slot.offset + before + (at % PAGE_BYTES);
      const count = readSync(this.#file, into, done, wanted, position);
      done += count;
      if (count < wanted) break;
    }
    return done;
  }

  /** May be called twice. */
  close(): void {
    if (this.#isOpen) closeSync(this.#file);
    this.#isOpen = false;
  }
}

function* blocksOf(runs: readonly Run[]): Generator<Block> {
  let [start, pages, parts, bytes] = [-1, 0, [] as Run[], 0]; // none yet
  for (const [runStart, runEnd] of runs) {
    for (let at = runStart; at < runEnd;) {
      const block = at - (at % BLOCK_BYTES);
      if (block !== start && bytes > 0) yield { start, pages, parts, bytes };
      if (block !== start) [start, pages, parts, bytes] = [block, 0, [], 0];
      const end = Math.min(runEnd, block + BLOCK_BYTES);
      const count = (end - at) / PAGE_BYTES;
      pages |= ((1 << count) - 1) << ((at - block) / PAGE_BYTES);
      parts.push([at, end]);
      bytes += end - at;
      at = end;
    }
  }
  if (bytes > 0) yield { start, pages, parts, bytes };
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
