/**
 * The life of one worker process, from the request to spawn it to its exit.
 *
 * ```
 *   spawning ---> starting ---> ready ------> draining ------> stopping ------> killing ---> gone
 *      |             |            |              |                ^                ^
 *      |             |            +-> stalled <--+                |                |
 *      |             |                   +------------------------|----------------+
 *      |             +--------------------------------------------+
 *      +---> cancelled ------------------------------------------------------------+
 * ```
 * Every state may also end in `gone` (a process can die at any time), and every state with a
 * process may go to `killing`.
 *
 * | state | what is the case | what ends it |
 * | --- | --- | --- |
 * | spawning | the keeper was asked for the process | the keeper's answer |
 * | cancelled | as spawning, but nobody wants it any more | the answer, then SIGKILL |
 * | starting | runs user code, serves nobody | ready, exit, or the ready timeout |
 * | ready | can serve | a decision, or a death |
 * | draining | gets nothing new, finishes what it has | drained, or the drain deadline |
 * | stalled | frozen with SIGSTOP, its connections are being recovered | recovered, or a deadline |
 * | stopping | SIGTERM sent | exit, or the grace period |
 * | killing | SIGKILL sent | exit |
 */
import assert from "node:assert";
import { constants } from "node:os";
import type { ExitInfo, WorkerIdentity } from "../base/mod.ts";

export type LifeState =
  | "spawning"
  | "cancelled"
  | "starting"
  | "ready"
  | "draining"
  | "stalled"
  | "stopping"
  | "killing"
  | "gone";

/** Where each state may lead. */
export const LIFE_EDGES: Readonly<Record<LifeState, readonly LifeState[]>> = {
  spawning: ["starting", "cancelled", "gone"],
  cancelled: ["killing", "gone"],
  starting: ["ready", "stopping", "killing", "gone"],
  ready: ["draining", "stalled", "killing", "gone"],
  draining: ["stopping", "stalled", "killing", "gone"],
  stalled: ["killing", "gone"],
  stopping: ["killing", "gone"],
  killing: ["gone"],
  gone: [],
};

/** One worker process. Knows its state, since when, and when that must have ended. */
export class WorkerLife {
  readonly id: number;
  readonly index: number;
  readonly generation: number;
  #state: LifeState;
  #since: number;
  #deadline: number = Infinity;
  #readyForMs = 0;
  /** The process; 0 until the keeper has told it. */
  pid = 0;
  /** Why Holdfast itself ended it, for the reason of its exit; null: it was not us. */
  cause: string | null = null;

  constructor(
    identity: WorkerIdentity,
    state: LifeState,
    now: number,
    deadline: number = Infinity,
  ) {
    this.id = identity.id;
    this.index = identity.index;
    this.generation = identity.generation;
    this.#state = state;
    this.#since = now;
    this.#deadline = deadline;
  }

  get identity(): WorkerIdentity {
    return { id: this.id, index: this.index, generation: this.generation };
  }

  get state(): LifeState {
    return this.#state;
  }

  /** When it came into its state. */
  get since(): number {
    return this.#since;
  }

  /** When its state must have ended; Infinity: no limit. */
  get deadline(): number {
    return this.#deadline;
  }

  /** How long it has been, or was, ready. */
  readyForMs(now: number): number {
    return this.#state === "ready" ? now - this.#since : this.#readyForMs;
  }

  /** Goes to `state`, from which `deadline` is the latest way out. */
  enter(state: LifeState, now: number, deadline: number = Infinity): void {
    const allowed = LIFE_EDGES[this.#state].includes(state);
    assert(allowed, `worker ${this.id}: no way from ${this.#state} to ${state}`);
    this.#readyForMs = this.readyForMs(now);
    this.#state = state;
    this.#since = now;
    this.#deadline = deadline;
  }

  /** Moves the latest way out of the present state. */
  extend(deadline: number): void {
    this.#deadline = deadline;
  }
}

/** An exit in words: `exit 1`, `SIGKILL`. */
export function exitText(exit: ExitInfo): string {
  if (exit.signal !== null) return exit.signal;
  return exit.code === null ? "could not be started" : `exit ${exit.code}`;
}

/** The exit code that a shell would give this exit; null when there was no process. */
export function exitCode(exit: ExitInfo): number | null {
  if (exit.code !== null) return exit.code;
  const number = Object.entries(constants.signals).find(([name]) => name === exit.signal)?.[1];
  return number === undefined ? null : 128 + number;
}
