/**
 * Texts within strings, of a whole heap: each string that is in one piece is read; those that are
 * put together of others, as far as a budget goes. A log that is put together line by line is as
 * many strings as it has lines, each of which begins with all that was written before.
 *
 * ```
 *   cons 3 -> cons 2 -> cons 1 -> "first line"      to read cons n takes n steps: n * n for all
 *     "third"   "second"   "..."                    each line is a string of its own, and found
 * ```
 */
import type { HeapView } from "../v8/heap-view.ts";
import type { Tagged } from "../v8/tagged.ts";

/** Of a string that was put together. */
const CONCATENATED_CHARS_MAX = 64 * 1024;
/** Of all of them: a second or two. */
const PARTS_MAX = 500_000;
const CHARS_MAX = 500_000_000;

export class StringSearch {
  readonly #heap: HeapView;
  readonly #part: string;
  readonly #firstNonString: number;
  readonly #budget = { parts: PARTS_MAX, chars: CHARS_MAX };
  #cut = 0;
  #unread = 0;

  constructor(heap: HeapView, part: string) {
    this.#heap = heap;
    this.#part = part;
    this.#firstNonString = heap.layout.get("FirstNonstringType");
  }

  fits(address: Tagged, instanceType: number): boolean {
    if (instanceType >= this.#firstNonString) return false;
    const heap = this.#heap;
    if (!heap.isConcatenation(instanceType)) {
      const text = heap.string(address);
      if (text === null) this.#unread += 1;
      return text?.includes(this.#part) === true;
    }
    const text = heap.string(address, CONCATENATED_CHARS_MAX, this.#budget);
    if (text === null || text.length < heap.stringLength(address)) this.#cut += 1;
    return text?.includes(this.#part) === true;
  }

  /** What was not looked at. */
  get remarks(): readonly string[] {
    const cut =
      `${this.#cut} strings that are put together of others were not searched to their end: what ` +
      `they are put together of was, piece by piece`;
    const unread = `${this.#unread} strings could not be read: a part of them is not there`;
    return [...(this.#cut > 0 ? [cut] : []), ...(this.#unread > 0 ? [unread] : [])];
  }
}
