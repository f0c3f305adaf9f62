/** Who comes to a gate, and what is had of it. */
import { AsyncResource } from "node:async_hooks";
import type { Refusal } from "../ledger/mod.ts";
import type { Overloaded } from "./errors.ts";
import type { Sample } from "./limits.ts";
import type { Work } from "./work.ts";

interface PermitIssuer {
  left(permit: Permit, sample: Sample): void;
}

/** The right to go on, until it is released. */
export class Permit {
  readonly #gate: PermitIssuer;
  readonly work: Work;
  readonly startMs: number;
  #isReleased = false;

  constructor(gate: PermitIssuer, work: Work, startMs: number) {
    this.#gate = gate;
    this.work = work;
    this.startMs = startMs;
  }

  /** The work is done. A second call does nothing. */
  release(sample: Sample = "ok"): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#gate.left(this, sample);
  }
}

/** What asks for entry by callback, for those who need no promise. */
export interface Visitor {
  admit(permit: Permit): void;
  /** `error` makes what tells it all, which takes time that a server under load has not. */
  refuse(reason: Refusal, retryAfterMs: number, error: () => Overloaded): void;
  /** Asked just before it is let in after a wait. */
  isGone?(): boolean;
  /** When it came; default: now. */
  readonly arrivedMs?: number;
  /** It may be called in any async context; default: after a wait in the one that it came in. */
  readonly isContextFree?: boolean;
}

/**
 * One that waits, and is called in the async context that it came in: who leaves a gate lets the
 * next one in, and that has nothing to do with him.
 */
export class BoundVisitor implements Visitor {
  readonly #visitor: Visitor;
  /** A tenth of a microsecond and 70 bytes; `AsyncLocalStorage.snapshot()` takes 5 and 1,400. */
  readonly #resource = new AsyncResource("holdfast.gate");

  constructor(visitor: Visitor) {
    this.#visitor = visitor;
  }

  admit(permit: Permit): void {
    this.#resource.runInAsyncScope(() => this.#visitor.admit(permit));
  }

  refuse(reason: Refusal, retryAfterMs: number, error: () => Overloaded): void {
    this.#resource.runInAsyncScope(() => this.#visitor.refuse(reason, retryAfterMs, error));
  }

  isGone(): boolean {
    return this.#visitor.isGone?.() === true;
  }
}
