/**
 * A place for a worker: its index, who fills it, and how its restarts went.
 *
 * ```
 *   vacant ---> filled <---> backoff
 *                ^  |
 *                |  v
 *               failed          (any state may become vacant: the service ends or shrinks)
 * ```
 * `filled` has a current worker (which may still be starting). `candidate` is a worker that is to
 * take over from the current one because of its memory; those of a reload belong to the operation.
 */
import assert from "node:assert";
import { RestartIntensity } from "../base/mod.ts";
import type { IntensityLimit } from "../base/mod.ts";
import type { WorkerLife } from "./worker-life.ts";

export type PlaceState = "vacant" | "filled" | "backoff" | "failed";

/** Where each state may lead. `filled` to `filled` is a replacement. */
export const PLACE_EDGES: Readonly<Record<PlaceState, readonly PlaceState[]>> = {
  vacant: ["filled"],
  filled: ["filled", "backoff", "failed", "vacant"],
  backoff: ["filled", "vacant"],
  failed: ["filled", "vacant"],
};

export class Place {
  readonly index: number;
  readonly intensity: RestartIntensity;
  #state: PlaceState = "vacant";
  #current: WorkerLife | null = null;
  #retryAtMs = Infinity;
  candidate: WorkerLife | null = null;
  /** No replacement because of memory is tried before this time. */
  replaceAfterMs: number = -Infinity;
  restarts = 0;
  lastExit: string | null = null;

  constructor(index: number, limit: IntensityLimit) {
    this.index = index;
    this.intensity = new RestartIntensity(limit);
  }

  get state(): PlaceState {
    return this.#state;
  }

  get current(): WorkerLife | null {
    return this.#current;
  }

  /** When a worker is to be started here; Infinity when none is due. */
  get retryAtMs(): number {
    return this.#retryAtMs;
  }

  /** `life` is now the worker of this place. */
  fill(life: WorkerLife): void {
    this.#enter("filled");
    this.#current = life;
  }

  /** The next worker comes at `retryAtMs`. */
  wait(retryAtMs: number): void {
    this.#enter("backoff");
    this.#retryAtMs = retryAtMs;
  }

  /** Too many restarts: no next worker until somebody asks for one. */
  fail(): void {
    this.#enter("failed");
  }

  /** Nobody is here and nobody is to come. */
  vacate(): void {
    if (this.#state !== "vacant") this.#enter("vacant");
  }

  #enter(state: PlaceState): void {
    const allowed = PLACE_EDGES[this.#state].includes(state);
    assert(allowed, `place ${this.index}: no way from ${this.#state} to ${state}`);
    this.#state = state;
    this.#current = null;
    this.#retryAtMs = Infinity;
  }
}
