/** Many ranges of addresses, sorted, in two arrays of numbers: millions of chunks are such. */

const FIRST_CAPACITY = 1024;

export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Ranges [start, end), which do not overlap; added in the order of addresses. */
export class RangeList {
  #starts = new Float64Array(FIRST_CAPACITY);
  #ends = new Float64Array(FIRST_CAPACITY);
  #length = 0;

  /** Sorts what may come in any order. */
  static of(ranges: readonly Range[]): RangeList {
    const list = new RangeList();
    for (const { start, end } of ranges.toSorted((a, b) => a.start - b.start)) list.add(start, end);
    return list;
  }

  get length(): number {
    return this.#length;
  }

  startOf(index: number): number {
    return index < this.#length ? (this.#starts[index] ?? 0) : Number.POSITIVE_INFINITY;
  }

  endOf(index: number): number {
    return index < this.#length ? (this.#ends[index] ?? 0) : Number.POSITIVE_INFINITY;
  }

  /** One that begins before the last one ends is left out. */
  add(start: number, end: number): void {
    if (this.#length > 0 && start < this.endOf(this.#length - 1)) return;
    if (this.#length === this.#starts.length) {
      const [starts, ends] = [this.#starts, this.#ends];
      this.#starts = new Float64Array(2 * this.#length);
      this.#ends = new Float64Array(2 * this.#length);
      this.#starts.set(starts);
      this.#ends.set(ends);
    }
    this.#starts[this.#length] = start;
    this.#ends[this.#length] = end;
    this.#length += 1;
  }

  /** The first one that ends behind an address; `length` when none does. */
  after(address: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The one that begins there; -1: none does. */
  startingAt(address: number): number {
    const index = this.after(address);
    return this.startOf(index) === address ? index : -1;
  }
}
