/**
 * One clause at one probe, in one worker: what providers fire. Counts, judges what it costs, and
 * never throws into the application.
 *
 * ```
 *   on --more than its budget in WINDOWS_OVER windows--> off (says why)
 *    +--the trace ends---------------------------------> off
 * ```
 * One firing of TIMED_EVERY is timed, and stands for the others. A firing that was interrupted (by
 * the kernel, or by a garbage collection) would stand for 64 such pauses, so what is counted of one
 * is bounded, and one window alone convicts nobody.
 */
import type { CompiledClause, Needs } from "./compile.ts";
import { Firing } from "./firing.ts";
import { TIMED_EVERY, UNJUDGED_FIRINGS, WINDOW_MS } from "./limits.ts";
import type { ProbeReport } from "./merge.ts";

/** More than the largest clause takes: 2000 values at some 20 ns, and a stack. */
const TIMED_MS_MAX = 0.25;
/** In a row: V8 takes its time to compile a clause where both CPUs are busy. */
const WINDOWS_OVER = 30;
/** Of those in which it took much more: its budget so many times. */
const WINDOWS_HEAVY = 3;
const HEAVY = 4;

export interface SiteOwner {
  /** Closed while a clause runs. */
  readonly gate: { isClosed: boolean };
  /** Share of time that one probe may take. */
  readonly budget: number;
  readonly now: () => number;
  readonly fault: (error: unknown) => void;
}

export class Site {
  readonly clause: CompiledClause;
  readonly firing: Firing;
  firings = 0;
  passed = 0;
  /** All the time that its firings took, as far as it was timed. */
  spentMs = 0;
  off: string | null = null;
  /** It is off for what it cost. */
  isOverBudget = false;
  readonly #owner: SiteOwner;
  #windowStartMs: number;
  #windowSpentMs = 0;
  #windowsOver = 0;

  constructor(clause: CompiledClause, owner: SiteOwner) {
    this.clause = clause;
    this.firing = new Firing(clause.point.point === null ? clause.written : clause.point.form);
    this.#owner = owner;
    this.#windowStartMs = owner.now();
  }

  get needs(): Needs {
    return this.clause.needs;
  }

  /** Something went wrong that the trace's figures must show. */
  fault(error: unknown): void {
    this.#owner.fault(error);
  }

  /** Runs the clause on what has been put into `firing`, and empties that. */
  fire(): void {
    const { firing } = this;
    if (this.off === null) {
      const { gate } = this.#owner;
      const wasClosed = gate.isClosed;
      gate.isClosed = true;
      this.firings += 1;
      try {
        if (this.firings % TIMED_EVERY === 0) this.#timed();
        else if (this.clause.run(firing)) this.passed += 1;
      } catch (error) {
        this.#owner.fault(error);
      }
      gate.isClosed = wasClosed;
    }
    firing.reset();
  }

  #timed(): void {
    const startMs = this.#owner.now();
    if (this.clause.run(this.firing)) this.passed += 1;
    const endMs = this.#owner.now();
    if (this.firings <= UNJUDGED_FIRINGS) {
      this.#windowStartMs = endMs;
      return;
    }
    const spent = Math.min(endMs - startMs, TIMED_MS_MAX) * TIMED_EVERY;
    this.spentMs += spent;
    this.#windowSpentMs += spent;
    const length = endMs - this.#windowStartMs;
    if (length < WINDOW_MS) return;
    const share = this.#windowSpentMs / length;
    this.#windowStartMs = endMs;
    this.#windowSpentMs = 0;
    const { budget } = this.#owner;
    if (share > HEAVY * budget) this.#windowsOver += WINDOWS_OVER / WINDOWS_HEAVY;
    else this.#windowsOver = share > budget ? this.#windowsOver + 1 : 0;
    if (this.#windowsOver < WINDOWS_OVER) return;
    this.isOverBudget = true;
    const percent = (value: number): string => `${(100 * value).toFixed(1)}%`;
    this.off = `it took ${percent(share)} of the time, more than ${percent(budget)}`;
  }

  report(): ProbeReport {
    const { firings, passed, off } = this;
    return { probe: this.clause.written, firings, passed, off };
  }
}
