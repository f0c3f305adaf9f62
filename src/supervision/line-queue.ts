/**
 * Values that come when they come, read one by one when the reader is ready: the bridge from
 * callbacks to a stream of lines. Bounded: a reader that lags loses the oldest values, and is told
 * how many.
 */

/** A reload of 256 workers makes about 1,500 lines of progress, a slow reader may miss some. */
export const QUEUE_VALUES_MAX = 1024;

export class LineQueue<T> implements AsyncIterable<T | { readonly lost: number }> {
  readonly #values: T[] = [];
  #lost = 0;
  #isEnded = false;
  #wake: (() => void) | null = null;

  push(value: T): void {
    if (this.#isEnded) return;
    if (this.#values.length >= QUEUE_VALUES_MAX) {
      this.#values.shift();
      this.#lost += 1;
    }
    this.#values.push(value);
    this.#wake?.();
  }

  /** No more values will come; those that wait are still read. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T | { readonly lost: number }, void, void> {
    for (;;) {
      if (this.#lost > 0) {
        yield { lost: this.#lost };
        this.#lost = 0;
      }
      const value = this.#values.shift();
      if (value !== undefined) yield value;
      else if (this.#isEnded) return;
      else await this.#next();
    }
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }
}
