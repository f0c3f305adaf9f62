/**
 * How often a process may be started again, and how soon.
 *
 * The bound is that of Erlang/OTP supervisors (stdlib `supervisor`, "maximum restart intensity"):
 * more than `restarts` within `periodMs` and the supervisor gives up. Before that, the waits grow:
 *
 * ```
 *   crash     1    2      3      4      5    ...   9      10
 *   wait      0  100 ms 200 ms 400 ms 800 ms ... 12.8 s  15 s      (then 15 s each)
 * ```
 * What was healthy for `HEALTHY_AFTER_MS` before it died is waited for anew.
 */

/** The second restart waits this long, and each one after it twice as long as the one before. */
export const BACKOFF_FIRST_MS = 100;
/** No restart waits longer: an operator who repaired the cause should not wait for us. */
export const BACKOFF_MAX_MS = 15_000;
/** As long as the longest wait, so that a loop of start, serve a little, crash still backs off. */
export const HEALTHY_AFTER_MS: number = BACKOFF_MAX_MS;

export interface IntensityLimit {
  readonly restarts: number;
  readonly periodMs: number;
}

/**
 * The restarts of one thing, a worker or the reactor. Times are monotonic milliseconds, given by
 * the caller.
 */
export class RestartIntensity {
  #limit: IntensityLimit;
  #times: number[] = [];
  #crashesInARow = 0;

  constructor(limit: IntensityLimit) {
    this.#limit = limit;
  }

  /** A new limit; what happened before still counts. */
  configure(limit: IntensityLimit): void {
    this.#limit = limit;
  }

  /** A death that wants a restart: how long to wait for it, or null to give up. */
  crashed(now: number, readyForMs: number): number | null {
    if (readyForMs >= HEALTHY_AFTER_MS) this.#crashesInARow = 0;
    this.#crashesInARow += 1;
    this.#times = this.#times.filter((time) => now - time < this.#limit.periodMs);
    if (this.#times.length >= this.#limit.restarts) return null;
    this.#times.push(now);
    return backoffMs(this.#crashesInARow);
  }

  /** Forgets everything: somebody asked for a fresh start. */
  reset(): void {
    this.#times = [];
    this.#crashesInARow = 0;
  }
}

/** The wait before the restart that follows the n-th crash in a row. */
export function backoffMs(crashesInARow: number): number {
  if (crashesInARow <= 1) return 0;
  return Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(crashesInARow - 2, 30));
}
