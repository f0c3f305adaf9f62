/**
 * Deadlines: how long a piece of work may take, and whether anybody still wants it. Absolute
 * inside a process, the time that is left on the wire.
 *
 * ```
 *   deadline.run(250, async () => {
 *     await fetch(url, { signal: deadline.current()?.signal });   pool() and gates do so themselves
 *   });
 * ```
 */
import { clearAlarm, setAlarm } from "./alarm.ts";
import type { Alarm } from "./alarm.ts";
import { nowMs } from "./clock.ts";
import { currentContext, withContext } from "./context.ts";
import { DeadlineExceeded, refuseOption } from "./errors.ts";

/** See the file's docstring. */
export class Deadline {
  /** By `nowMs()`; infinity: whenever it is done, but it may be cancelled. */
  readonly atMs: number;
  readonly #madeAtMs: number;
  readonly #parent: Deadline | null;
  #reason: Error | null = null;
  #alarm: Alarm | null = null;
  #leaveParent: (() => void) | null = null;
  #controller: AbortController | null = null;
  readonly #listeners = new Set<(reason: Error) => void>();

  /** Never later than its parent's. */
  constructor(atMs: number, parent: Deadline | null = null) {
    this.#madeAtMs = nowMs();
    this.#parent = parent;
    this.atMs = parent === null ? atMs : Math.min(atMs, parent.atMs);
  }

  remainingMs(): number {
    return this.atMs - nowMs();
  }

  /** The time has passed, or nobody wants it any more. */
  get isOver(): boolean {
    return this.reason !== null;
  }

  /** Why it is over; null while it is not. */
  get reason(): Error | null {
    if (this.#reason !== null) return this.#reason;
    const inherited = this.#parent?.reason ?? null;
    if (inherited !== null) return inherited;
    return nowMs() >= this.atMs ? new DeadlineExceeded(this.atMs - this.#madeAtMs) : null;
  }

  /** For APIs that take one; made when it is first asked for. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      const controller = new AbortController();
      this.#controller = controller;
      const { reason } = this;
      if (reason !== null) controller.abort(reason);
      else this.onAbort((why) => controller.abort(why));
    }
    return this.#controller.signal;
  }

  /** Calls once when it is over, at once if it is. Returns what takes that back. */
  onAbort(listener: (reason: Error) => void): () => void {
    const { reason } = this;
    if (reason !== null) {
      listener(reason);
      return () => undefined;
    }
    // a function given twice is called twice
    const own = (why: Error): void => listener(why);
    this.#listeners.add(own);
    if (this.#listeners.size === 1) this.#watch();
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size === 0) this.#unwatch();
    };
  }

  /** Nobody wants it any more. */
  cancel(reason: Error): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#unwatch();
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const each of listeners) each(reason);
  }

  #watch(): void {
    if (Number.isFinite(this.atMs)) {
      this.#alarm = setAlarm(this.atMs, () =>
        this.cancel(new DeadlineExceeded(this.atMs - this.#madeAtMs)),
      );
    }
    this.#leaveParent = this.#parent?.onAbort((reason) => this.cancel(reason)) ?? null;
  }

  #unwatch(): void {
    if (this.#alarm !== null) clearAlarm(this.#alarm);
    this.#alarm = null;
    this.#leaveParent?.();
    this.#leaveParent = null;
  }
}

/** A deadline of so many milliseconds from now. 0 or less is over already. */
function after(ms: number, parent: Deadline | null = current()): Deadline {
  if (typeof ms !== "number" || Number.isNaN(ms)) refuseOption("deadline", ms, "milliseconds");
  return new Deadline(nowMs() + ms, parent);
}

/** That of the current context; null: there is none. */
function current(): Deadline | null {
  return currentContext()?.deadline ?? null;
}

/** Runs `f` and all that it starts under a deadline, which is never later than the one around. */
function run<T>(limit: number | Deadline, f: () => T): T {
  return withContext({ deadline: typeof limit === "number" ? after(limit) : limit }, f);
}

/** Runs `f` without a deadline: what must be finished although nobody waits any more. */
function shield<T>(f: () => T): T {
  return withContext({ deadline: null }, f);
}

export const deadline = { after, current, run, shield } as const;
