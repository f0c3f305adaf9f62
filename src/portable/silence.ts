/**
 * Which workers have not been heard of for too long. A silence counts only while we were awake
 * ourselves: when the machine slept, nobody's beat was late.
 */

/** How often `tick` is called. */
export const TICK_MS = 100;
/** A gap between two ticks beyond this is our own sleep. */
const TICK_GAP_MAX_MS = 3 * TICK_MS;
/** Beats in a stall limit: one may be late. */
const BEATS_IN_LIMIT = 5;
/** Status is as old as this at most. */
const BEAT_INTERVAL_MS_MAX = 250;
const BEAT_INTERVAL_MS_MIN = 50;

/** How often a worker is to tell of itself; 0: no worker ever stalls, no stall is logged. */
export function beatIntervalMs(stallLimitMs: number, stallWarnMs = 0): number {
  const limits = [stallLimitMs, stallWarnMs].filter((ms) => ms > 0);
  if (limits.length === 0) return BEAT_INTERVAL_MS_MAX;
  const wanted = Math.floor(Math.min(...limits) / BEATS_IN_LIMIT);
  return Math.min(BEAT_INTERVAL_MS_MAX, Math.max(BEAT_INTERVAL_MS_MIN, wanted));
}

/** See the file's docstring. Times are monotonic milliseconds, given by the caller. */
export class Silence {
  /** For each worker that can be heard: for how long it has not been. */
  readonly #silentMs = new Map<number, number>();
  #lastTickMs: number;

  constructor(nowMs: number) {
    this.#lastTickMs = nowMs;
  }

  /** The worker has told of itself. */
  heard(id: number): void {
    this.#silentMs.set(id, 0);
  }

  /** The worker has ended, or can say nothing any more. */
  forget(id: number): void {
    this.#silentMs.delete(id);
  }

  /** The workers that have been silent for longer than the limit. */
  tick(nowMs: number, stallLimitMs: number): readonly number[] {
    const awakeMs = Math.min(nowMs - this.#lastTickMs, TICK_GAP_MAX_MS);
    this.#lastTickMs = nowMs;
    for (const [id, silentMs] of this.#silentMs) this.#silentMs.set(id, silentMs + awakeMs);
    if (stallLimitMs === 0) return [];
    return [...this.#silentMs].filter(([, ms]) => ms > stallLimitMs).map(([id]) => id);
  }
}
