/** Where objects can be: in pages of the heap, and not in the parts of them that are unused. */
import type { HeapPage } from "./pages.ts";
import type { UnusedArea } from "./walk.ts";

/** Every object begins in the first 256 KiB of its page. */
const PAGE_BYTES = 256 * 1024;

/** See the file's docstring. */
export class ObjectPlaces {
  readonly #pages = new Map<number, HeapPage>();
  readonly #empty = new Set<number>();
  readonly #unused = new Map<number, UnusedArea[]>();

  /** @param empty pages without objects */
  constructor(
    pages: readonly HeapPage[],
    unused: readonly UnusedArea[],
    empty: readonly HeapPage[] = [],
  ) {
    for (const page of pages) this.#pages.set(numberOf(page.start), page);
    for (const { start } of empty) this.#empty.add(numberOf(start));
    for (const area of unused) {
      const number = numberOf(area.start);
      const known = this.#unused.get(number);
      if (known === undefined) this.#unused.set(number, [area]);
      else known.push(area);
    }
  }

  /** Whether it is of the young generation, where nothing has moved since it was made. */
  isYoung(address: number): boolean {
    return this.#pages.get(numberOf(address))?.isYoung === true;
  }

  /** Whether it is in a page, be there objects or not. */
  isInPage(address: number): boolean {
    const number = numberOf(address);
    return this.#pages.has(number) || this.#empty.has(number);
  }

  has(address: number): boolean {
    const number = numberOf(address);
    const page = this.#pages.get(number);
    if (page === undefined || address < page.areaStart || address >= page.areaEnd) return false;
    const unused = this.#unused.get(number);
    return unused?.some(({ start, end }) => address >= start && address < end) !== true;
  }
}

function numberOf(address: number): number {
  return Math.floor(address / PAGE_BYTES);
}
