/**
 * Quarantine: when a worker dies a second time with several requests in flight, one of them may be
 * the cause and the others are not. Each is tried again alone, so that the next death, if there is
 * one, names the culprit, and nobody else is refused for it.
 *
 * ```
 *   queued (held) --its turn--> current (handed, busy) --answered, closed, worker died--> next
 * ```
 */
import { STATE } from "../ledger/mod.ts";
import type { ConnectionTable } from "../ledger/mod.ts";
import type { Retention } from "./retention.ts";

interface Quarantined {
  readonly slot: number;
  readonly journal: Buffer;
}

/** See the file's docstring. Bounded by the table of connections. */
export class Quarantine {
  readonly #connections: ConnectionTable;
  readonly #retention: Retention;
  readonly #queue: Quarantined[] = [];
  #current: { readonly slot: number; readonly openedAtMs: number } | null = null;

  constructor(connections: ConnectionTable, retention: Retention) {
    this.#connections = connections;
    this.#retention = retention;
  }

  /** A request, with its connection in state held, to be tried alone. */
  add(slot: number, journal: Buffer): void {
    this.#queue.push({ slot, journal });
  }

  /** Lets the next one out when the one before is done. */
  tick(): void {
    if (this.#current !== null && this.#isUnderWay(this.#current)) return;
    this.#current = null;
    const next = this.#queue.shift();
    if (next === undefined) return;
    const { openedAtMs } = this.#connections.snapshot(next.slot);
    this.#current = { slot: next.slot, openedAtMs };
    this.#retention.handOn(next.slot, next.journal);
  }

  #isUnderWay({
    slot,
    openedAtMs,
  }: {
    readonly slot: number;
    readonly openedAtMs: number;
  }): boolean {
    const { state, openedAtMs: opened } = this.#connections.snapshot(slot);
    const isSameLife = opened === openedAtMs;
    return isSameLife && (state === STATE.held || state === STATE.handed || state === STATE.busy);
  }
}
