/**
 * DTrace's deadman: a trace that keeps its worker from working ends by itself. What a clause takes
 * is judged firing by firing (`site.ts`); what the probe around it costs is not seen there. Here
 * the sum of both is: a timer that is late, again and again, while the trace fires very often. A
 * worker that is late without that is what one traces to understand, and is left alone.
 */

/** So late is no timer of a worker that serves. */
export const LATE_MS = 500;
/** A probe of 0.1 us that fires this often takes a percent of the time. */
export const FIRINGS_PER_SECOND = 100_000;
export const TIMES = 3;

export class Deadman {
  readonly #periodMs: number;
  #lastMs: number;
  #lastFirings = 0;
  #times = 0;
  #reason: string | null = null;

  /** @param periodMs how often `check` is to be called */
  constructor(periodMs: number, nowMs: number) {
    this.#periodMs = periodMs;
    this.#lastMs = nowMs;
  }

  /** Why the trace has to end; null: it does not. */
  get reason(): string | null {
    return this.#reason;
  }

  /** @param firings of the whole trace, since its start */
  check(nowMs: number, firings: number): void {
    const passedMs = Math.max(1, nowMs - this.#lastMs);
    const rate = ((firings - this.#lastFirings) * 1000) / passedMs;
    const isLate = passedMs - this.#periodMs > LATE_MS;
    this.#times = isLate && rate > FIRINGS_PER_SECOND ? this.#times + 1 : 0;
    this.#lastMs = nowMs;
    this.#lastFirings = firings;
    if (this.#times < TIMES) return;
    const [late, often] = [Math.round(passedMs - this.#periodMs), Math.round(rate)];
    this.#reason = `it held its worker up: ${late} ms late at ${often} firings a second`;
  }
}
