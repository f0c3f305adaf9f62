/**
 * A bit for each word of the heap where an object may begin: which words do, which objects are
 * marked, and the number of each marked one in the order of addresses. 32 MB for 2 GB of heap.
 *
 * ```
 *   page 0: words 0..n     page 1: words n+1..m     ...     one bit each, pages by address
 *   counts: marked bits before each group of 32         -> numberOf(address)
 * ```
 */
import type { HeapPage } from "../heap/pages.ts";

/** Objects begin in the first part of a page; behind it lies the rest of a large one. */
const STARTS_BYTES_MAX = 256 * 1024 + 8;
const WORD_BYTES = 8;
/** Pages lie 256 KiB apart; so many are found without a search: 2 GiB. */
const NEAR_BYTES = 256 * 1024;
const NEAR_SPANS = 8192;

interface Span {
  readonly start: number;
  readonly end: number;
  readonly firstBit: number;
  readonly isReadOnly: boolean;
}

/** Where each word of the heap has its bit. */
export class WordIndex {
  readonly bits: number;
  readonly #spans: readonly Span[];
  /** By the last bits of the page's number. */
  readonly #near: (Span | undefined)[] = Array.from({ length: NEAR_SPANS }, () => undefined);
  #last: Span | undefined;
  #lastOfBit: Span = { start: 0, end: 0, firstBit: 0, isReadOnly: true };

  constructor(pages: readonly HeapPage[]) {
    let bits = 0;
    this.#spans = pages.map(({ areaStart, areaEnd, heap }) => {
      const bytes = Math.min(areaEnd - areaStart, STARTS_BYTES_MAX);
      // one more: where the last object ends
      const end = areaStart + bytes;
      const span = { start: areaStart, end, firstBit: bits, isReadOnly: heap === 0 };
      bits += Math.ceil(bytes / WORD_BYTES) + 1;
      return span;
    });
    this.bits = bits;
    this.#last = this.#spans[0];
  }

  /** The bit of an address; -1: no object of the heap begins there. */
  bitOf(address: number): number {
    const span = this.#find(address);
    if (span === undefined || (address & (WORD_BYTES - 1)) !== 0) return -1;
    return span.firstBit + (address - span.start) / WORD_BYTES;
  }

  /** The address of a bit; 0: there is no such. */
  addressOf(bit: number): number {
    const last = this.#lastOfBit;
    const words = bit - last.firstBit;
    const address = last.start + words * WORD_BYTES;
    if (words >= 0 && address < last.end) return address;
    let [low, high] = [0, this.#spans.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#spans[middle]?.firstBit ?? 0) <= bit) low = middle + 1;
      else high = middle;
    }
    const span = this.#spans[low - 1];
    if (span === undefined) return 0;
    this.#lastOfBit = span;
    return span.start + (bit - span.firstBit) * WORD_BYTES;
  }

  /** In the part of the heap that never changes, and is the same in every process of a binary. */
  isReadOnly(address: number): boolean {
    return this.#find(address)?.isReadOnly === true;
  }

  #find(address: number): Span | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.start && address <= last.end) return last;
    const place = Math.floor(address / NEAR_BYTES) & (NEAR_SPANS - 1);
    const near = this.#near[place];
    if (near !== undefined && address >= near.start && address <= near.end) return near;
    let low = 0;
    let high = this.#spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#spans[middle]?.start ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    const span = this.#spans[low - 1];
    if (span === undefined || address > span.end) return undefined;
    this.#near[place] = span;
    this.#last = span;
    return span;
  }
}

/** A set of bits, with the rank of each. */
export class BitSet {
  readonly #groups: Uint32Array;
  #before = new Uint32Array(0);
  #size = 0;

  constructor(bits: number) {
    this.#groups = new Uint32Array((bits + 31) >>> 5);
  }

  get size(): number {
    return this.#size;
  }

  has(bit: number): boolean {
    return bit >= 0 && (((this.#groups[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1;
  }

  /** @returns whether it is new */
  add(bit: number): boolean {
    if (bit < 0 || this.has(bit)) return false;
    const group = bit >>> 5;
    this.#groups[group] = (this.#groups[group] ?? 0) | (1 << (bit & 31));
    this.#size += 1;
    return true;
  }

  /** The next bit after one; -1: there is none within so many. */
  next(bit: number, most: number): number {
    for (let at = bit + 1; at <= bit + most; at += 1) {
      const group = this.#groups[at >>> 5];
      if (group === undefined) return -1;
      if (group === 0) at |= 31;
      else if (((group >>> (at & 31)) & 1) === 1) return at;
    }
    return -1;
  }

  /** Counts the bits before each group; call it when all are there. */
  count(): void {
    this.#before = new Uint32Array(this.#groups.length);
    let total = 0;
    for (let index = 0; index < this.#groups.length; index += 1) {
      this.#before[index] = total;
      total += ones(this.#groups[index] ?? 0);
    }
  }

  /** How many bits are set before this one, after `count`; -1 when it is not set itself. */
  rank(bit: number): number {
    if (!this.has(bit)) return -1;
    const below = (this.#groups[bit >>> 5] ?? 0) & ((1 << (bit & 31)) - 1);
    return (this.#before[bit >>> 5] ?? 0) + ones(below);
  }
}

function ones(word: number): number {
  let value = word - ((word >>> 1) & 0x5555_5555);
  value = (value & 0x3333_3333) + ((value >>> 2) & 0x3333_3333);
  return Math.imul((value + (value >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
