/**
 * How many retries, or hedges, are allowed: a part of all requests, and a few more each second, so
 * that a failing upstream gets little more than it had (Finagle's RetryBudget).
 */
import { checkNumber } from "../errors.ts";

export interface BudgetOptions {
  /** Tokens that each request earns; default 0.2. */
  readonly ratio?: number;
  /** Tokens a second; default 3. */
  readonly perSecond?: number;
}

/** Unspent tokens are worth this many seconds at most. */
const SECONDS_KEPT = 10;

/** See the file's docstring. */
export class Budget {
  readonly #ratio: number;
  readonly #perSecond: number;
  readonly #max: number;
  #tokens: number;
  #atMs = 0;

  /** @throws FlowError ERR_HOLDFAST_FLOW_OPTION */
  constructor(name: "retry" | "hedge", { ratio, perSecond }: BudgetOptions) {
    this.#ratio = checkNumber(`${name}.ratio`, ratio, 0.2, { min: 0, max: 10 });
    this.#perSecond = checkNumber(`${name}.perSecond`, perSecond, 3, { min: 0 });
    this.#max = Math.max(1, SECONDS_KEPT * this.#perSecond, 100 * this.#ratio);
    this.#tokens = Math.min(this.#max, this.#perSecond);
  }

  /** A request was made. */
  earn(): void {
    this.#tokens = Math.min(this.#max, this.#tokens + this.#ratio);
  }

  /** One more try, if there is one left. */
  spend(nowMs: number): boolean {
    if (this.#atMs > 0) {
      const earned = ((nowMs - this.#atMs) / 1000) * this.#perSecond;
      this.#tokens = Math.min(this.#max, this.#tokens + Math.max(0, earned));
    }
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
