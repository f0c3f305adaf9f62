/**
 * All memory of a process that is its own, copied into ours while it stands still: some two
 * gigabytes a second, where a disk takes a tenth of that. It runs on while the copy is looked at.
 *
 * ```
 *   runs of pages, in order   [....][..][...........]
 *   pieces of 64 MiB          |..............|.......   filled before, so that the kernel
 *                                                       has nothing to find while it waits
 * ```
 */
import type { Region } from "./memory.ts";
import { isOfFile } from "./page-runs.ts";
import type { Run } from "./page-runs.ts";
import type { Mapping } from "./target.ts";

const PIECE_BYTES = 64 * 1024 * 1024;
const PAGE_BYTES = 4096;

/** Fills `into` with these parts of the process, one behind the other; how many bytes it could. */
export type BulkReader = (parts: readonly Run[], into: Buffer) => number;

/** Memory that was copied, wherever to. */
export interface AllCopy {
  /** The leading bytes from an address on that were copied; how many. */
  read(address: number, into: Buffer): number;
}

export class WholeCopy implements AllCopy {
  readonly #pieces: Buffer[] = [];
  /** Starts of the runs, sorted, and how many bytes lie before each in the pieces. */
  #starts: Float64Array = new Float64Array(0);
  #ends: Float64Array = new Float64Array(0);
  #before: Float64Array = new Float64Array(0);

  /** One more piece of memory is at hand; the process still runs. */
  addPiece(): void {
    const piece = Buffer.from(new ArrayBuffer(PIECE_BYTES));
    for (let at = 0; at < piece.length; at += PAGE_BYTES) piece[at] = 1;
    this.#pieces.push(piece);
  }

  get roomBytes(): number {
    return this.#pieces.length * PIECE_BYTES;
  }

  /**
   * Copies what does not change meanwhile. Runs are sorted by address.
   * @param onProgress told how many bytes are done
   */
  fill(runs: readonly Run[], read: BulkReader, onProgress = (_bytes: number): void => {}): void {
    this.#starts = Float64Array.from(runs, ([start]) => start);
    this.#ends = Float64Array.from(runs, ([, end]) => end);
    this.#before = new Float64Array(runs.length);
    let total = 0;
    let parts: Run[] = [];
    let room = PIECE_BYTES;
    let piece = 0;
    const flush = (): void => {
      if (this.#pieces.length <= piece) this.#pieces.push(Buffer.alloc(PIECE_BYTES));
      fillParts(parts, this.#pieces[piece] as Buffer, read); // just made, if it was not there
      parts = [];
      room = PIECE_BYTES;
      piece += 1;
      onProgress(piece * PIECE_BYTES);
    };
    for (const [index, [start, end]] of runs.entries()) {
      this.#before[index] = total;
      total += end - start;
      for (let at = start; at < end;) {
        const count = Math.min(room, end - at);
        parts.push([at, at + count]);
        at += count;
        room -= count;
        if (room === 0) flush();
      }
    }
    if (parts.length > 0) flush();
    this.#pieces.splice(piece);
  }

  /** The leading bytes from an address on that were copied; how many. */
  read(address: number, into: Buffer): number {
    let done = 0;
    for (let index = this.#runAt(address); done < into.length; index += 1) {
      const [start, end] = [this.#starts[index] ?? Infinity, this.#ends[index] ?? 0];
      const at = address + done;
      if (index < 0 || at < start || at >= end) break;
      let from = (this.#before[index] ?? 0) + (at - start);
      for (let left = Math.min(end - at, into.length - done); left > 0;) {
        const piece = this.#pieces[Math.floor(from / PIECE_BYTES)];
        const offset = from % PIECE_BYTES;
        const count = Math.min(left, PIECE_BYTES - offset);
        piece?.copy(into, done, offset, offset + count);
        [done, from, left] = [done + count, from + count, left - count];
      }
    }
    return done;
  }

  /** May be called twice. */
  close(): void {
    this.#pieces.splice(0);
  }

  /** The run at or before an address; -1: there is none. */
  #runAt(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** What these mappings have: the copy, and of files what is as in the file. */
export function copiedRegions(
  copy: AllCopy,
  mappings: readonly Mapping[],
  readFile: (mapping: Mapping, address: number, into: Buffer) => number,
): readonly Region[] {
  return mappings
    .filter(({ isReadable }) => isReadable)
    .map((mapping) => {
      const { start, end } = mapping;
      const read = (offset: number, into: Buffer): number => {
        for (let done = 0; ;) {
          const address = start + offset + done;
          const rest = into.subarray(done);
          let count = copy.read(address, rest);
          // page by page: the next one may have been changed
          if (count === 0 && isOfFile(mapping)) {
            count = readFile(mapping, address, rest.subarray(0, PAGE_BYTES));
          }
          done += count;
          if (count === 0 || done >= into.length) return done;
        }
      };
      return { start, end, read };
    });
}

/** Reads parts one behind the other. A page that cannot be read is zero. */
export function fillParts(parts: readonly Run[], into: Buffer, read: BulkReader): void {
  let rest = parts;
  for (let done = 0; rest.length > 0;) {
    const count = read(rest, into.subarray(done));
    const whole = count - (count % PAGE_BYTES);
    done += whole;
    rest = behind(rest, whole);
    if (rest.length === 0) break;
    into.fill(0, done, done + PAGE_BYTES);
    done += PAGE_BYTES;
    rest = behind(rest, PAGE_BYTES);
  }
}

/** What is left of the parts behind so many bytes. */
function behind(parts: readonly Run[], bytes: number): readonly Run[] {
  let left = bytes;
  for (const [index, [start, end]] of parts.entries()) {
    if (left < end - start) return [[start + left, end], ...parts.slice(index + 1)];
    left -= end - start;
  }
  return [];
}
