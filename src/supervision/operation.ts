/**
 * A reload, restart or change of scale: new workers first, and only when all of them are ready do
 * the old ones go. One that fails changes nothing.
 *
 * ```
 *   starting --all ready--> draining --all old gone--> done (ok)
 *      |  |
 *      |  +--the service stops--> done (failed)
 *      +--one lost--> abandoning --all new gone--> done (failed; the old were never touched)
 * ```
 * The first new worker starts alone, so that a version that cannot start costs one process; then
 * `STARTING_MAX` at a time, so that the old workers keep their CPUs.
 */
import assert from "node:assert";
import { WORKERS_MAX } from "./supervisor-types.ts";
import type { WorkerLife } from "./worker-life.ts";

/** New workers of one operation that start at the same time. */
export const STARTING_MAX = 4;

export type OperationKind = "reload" | "restart" | "scale";
export type OperationPhase = "starting" | "draining" | "abandoning" | "done";

export const OPERATION_EDGES: Readonly<Record<OperationPhase, readonly OperationPhase[]>> = {
  starting: ["draining", "abandoning", "done"],
  draining: ["done"],
  abandoning: ["done"],
  done: [],
};

/** A line of progress, as the control socket streams it. */
export interface ProgressEvent {
  readonly event: "starting" | "ready" | "serving" | "ended" | "failed";
  readonly message: string;
  readonly worker?: number;
  readonly id?: number;
  readonly generation?: number;
}

export type ProgressListener = (event: ProgressEvent) => void;

export interface OperationResult {
  readonly ok: boolean;
  readonly message: string;
  /** The last output of the worker that failed. */
  readonly output?: string;
  /** Nothing was tried: another operation runs, or the request makes no sense. */
  readonly refused?: "busy" | "invalid";
}

export interface OperationPlan {
  readonly kind: OperationKind;
  readonly generation: number;
  /** Indexes that get a new worker. */
  readonly indexes: readonly number[];
  /** Number of workers afterwards. */
  readonly workers: number;
}

export class Operation {
  readonly kind: OperationKind;
  readonly generation: number;
  readonly workers: number;
  readonly result: Promise<OperationResult>;
  readonly #report: ProgressListener;
  readonly #resolve: (result: OperationResult) => void;
  readonly #queue: number[];
  /** New workers: index by id. */
  readonly #starting = new Map<number, number>();
  readonly #ready = new Map<number, number>();
  /** Ids of workers that must end before the operation does. */
  readonly #awaited = new Set<number>();
  #phase: OperationPhase = "starting";
  #failure: { readonly lostId: number; readonly message: string; output: string } | null = null;

  constructor(plan: OperationPlan, onProgress: ProgressListener) {
    this.kind = plan.kind;
    this.generation = plan.generation;
    this.workers = plan.workers;
    this.#queue = [...plan.indexes];
    this.#report = onProgress;
    const { promise, resolve } = Promise.withResolvers<OperationResult>();
    this.result = promise;
    this.#resolve = resolve;
  }

  get phase(): OperationPhase {
    return this.#phase;
  }

  /** Whether every new worker is ready. */
  get isComplete(): boolean {
    return this.#phase === "starting" && this.#queue.length === 0 && this.#starting.size === 0;
  }

  /** Whether it only remains to finish. */
  get isSettled(): boolean {
    const isLeaving = this.#phase === "draining" || this.#phase === "abandoning";
    return isLeaving && this.#awaited.size === 0;
  }

  /** Whether the worker is one of the new ones, which have no place yet. */
  owns(id: number): boolean {
    return this.#phase === "starting" && (this.#starting.has(id) || this.#ready.has(id));
  }

  /** The index to start a worker for now, or null. The caller answers with `started`. */
  nextIndex(): number | null {
    if (this.#phase !== "starting") return null;
    const startingMax = this.#ready.size === 0 ? 1 : STARTING_MAX;
    return this.#starting.size < startingMax ? (this.#queue.shift() ?? null) : null;
  }

  started(id: number, index: number): void {
    this.#starting.set(id, index);
    this.#reportNew("starting", id, index, "starts");
  }

  ready(id: number): void {
    const index = this.#starting.get(id);
    assert(index !== undefined, `worker ${id} is not starting in this ${this.kind}`);
    this.#starting.delete(id);
    this.#ready.set(id, index);
    this.#reportNew("ready", id, index, "is ready");
  }

  /** The new workers take their places. Returns their ids by index. */
  handOver(): ReadonlyMap<number, number> {
    this.#enter("draining");
    return new Map([...this.#ready].map(([id, index]) => [index, id]));
  }

  /**
   * A new worker was lost: none takes its place. Returns the ids of all new ones, which must go.
   */
  abandon(lostId: number, message: string, output: string): readonly number[] {
    this.#enter("abandoning");
    this.#failure = { lostId, message, output };
    this.#report({ event: "failed", message });
    return [...this.#starting.keys(), ...this.#ready.keys()];
  }

  /** The operation does not end before this worker has. */
  awaitEnd(life: WorkerLife): void {
    this.#awaited.add(life.id);
  }

  /** A worker has ended; true when it was awaited. */
  ended(life: WorkerLife, text: string, output: string): boolean {
    if (!this.#awaited.delete(life.id)) return false;
    const { id, index: worker, generation } = life;
    const message = `worker ${worker} of generation ${generation} ended: ${text}`;
    this.#report({ event: "ended", worker, id, generation, message });
    // One that is not ready in time, or stalls, fails first and ends later: its output comes then.
    if (this.#failure?.lostId === id) this.#failure.output = output;
    return true;
  }

  reportServing(leavingCount: number): void {
    const { generation, workers } = this;
    const drains = leavingCount === 0 ? "" : `; ${counted(leavingCount, "old worker")} to drain`;
    const message = `${counted(workers, "worker")} in service${drains}`;
    this.#report({ event: "serving", generation, message });
  }

  /** Ends the operation with what came of it. */
  finish(): void {
    this.#enter("done");
    const { kind, generation, workers } = this;
    const what = kind === "scale" ? counted(workers, "worker") : `generation ${generation}`;
    if (this.#failure === null)
      this.#resolve({ ok: true, message: `${kind} done: ${what} in service` });
    else {
      const { message, output } = this.#failure;
      this.#resolve({ ok: false, message, output });
    }
  }

  /** Ends the operation before anything came of it. */
  giveUp(why: string): void {
    const isDone = this.#phase === "draining";
    this.#enter("done");
    this.#resolve({ ok: isDone, message: `${this.kind} ${isDone ? "done" : "given up"}: ${why}` });
  }

  #reportNew(event: "starting" | "ready", id: number, worker: number, verb: string): void {
    const message = `worker ${worker} of generation ${this.generation} ${verb}`;
    this.#report({ event, worker, id, generation: this.generation, message });
  }

  #enter(phase: OperationPhase): void {
    const allowed = OPERATION_EDGES[this.#phase].includes(phase);
    assert(allowed, `${this.kind}: no way from ${this.#phase} to ${phase}`);
    this.#phase = phase;
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export function isWorkerCount(workers: number): boolean {
  return Number.isSafeInteger(workers) && workers >= 1 && workers <= WORKERS_MAX;
}

export function refuseCount(workers: number): Promise<OperationResult> {
  const allowed = `a whole number from 1 to ${WORKERS_MAX}`;
  return refuse("invalid", `${workers} is no number of workers; give ${allowed}`);
}

/** The result of a request that is not even tried. */
export function refuse(refused: "busy" | "invalid", message: string): Promise<OperationResult> {
  return Promise.resolve({ ok: false, refused, message });
}
