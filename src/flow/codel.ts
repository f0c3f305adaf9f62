/**
 * When a queue is a standing one: CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM
 * Queue 2012), and what is done about it: newest first and a short patience, as in "Fail at Scale"
 * (Maurer, ACM Queue 2015).
 *
 * ```
 *   calm:        oldest first, patience maxWaitMs
 *                -> the least wait of an interval was above the target: a standing queue
 *   overloaded:  newest first, patience targetMs
 *                -> the queue was empty once in an interval, and nobody was given up in it
 * ```
 */
export interface CodelOptions {
  readonly targetMs: number;
  readonly intervalMs: number;
  readonly maxWaitMs: number;
}

/** See the file's docstring. */
export class Codel {
  readonly #options: CodelOptions;
  #intervalEndMs = 0;
  #leastWaitMs = Number.POSITIVE_INFINITY;
  #wasEmpty = true;
  /** A queue that is empty because its entries were given up is no sign of calm. */
  #hasGivenUp = false;
  #isOverloaded = false;

  constructor(options: CodelOptions) {
    this.#options = options;
  }

  get isOverloaded(): boolean {
    return this.#isOverloaded;
  }

  /** How long one may wait at most. */
  get patienceMs(): number {
    return this.#isOverloaded ? this.#options.targetMs : this.#options.maxWaitMs;
  }

  /** One was given up because it had waited for too long. */
  gaveUp(): void {
    this.#hasGivenUp = true;
  }

  /** Nothing waits any more. */
  emptied(): void {
    this.#wasEmpty = true;
  }

  /** One has left the queue after so long. */
  left(waitedMs: number): void {
    if (waitedMs < this.#leastWaitMs) this.#leastWaitMs = waitedMs;
  }

  /**
   * Judges an interval that is over. `canGrow`: the limit is about to rise, so a queue says
   * nothing. Returns how long the gate has been overloaded since the last call.
   */
  judge(nowMs: number, queued: number, canGrow: boolean): number {
    if (queued === 0) this.#wasEmpty = true;
    if (nowMs < this.#intervalEndMs) return 0;
    const lateMs = nowMs - this.#intervalEndMs;
    const was = this.#isOverloaded;
    const isCalm = this.#wasEmpty && !this.#hasGivenUp;
    if (lateMs > 10 * this.#options.intervalMs || isCalm) this.#isOverloaded = false;
    else if (!was) this.#isOverloaded = !canGrow && this.#leastWaitMs > this.#options.targetMs;
    this.#intervalEndMs = nowMs + this.#options.intervalMs;
    this.#leastWaitMs = Number.POSITIVE_INFINITY;
    this.#wasEmpty = queued === 0;
    this.#hasGivenUp = false;
    return was ? Math.min(lateMs, this.#options.intervalMs) + this.#options.intervalMs : 0;
  }
}
