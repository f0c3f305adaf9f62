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

/** The one that is being tried. */
interface Current {
  readonly slot: number;
  readonly openedAtMs: number;
  /** The quiescent point of its connection before it: the same until it is answered. */
  readonly quiescentRead: number;
}

/** See the file's docstring. Bounded by the table of connections. */
export class Quarantine {
  readonly #connections: ConnectionTable;
  readonly #retention: Retention;
  readonly #queue: Quarantined[] = [];
  #current: Current | null = null;

  constructor(connections: ConnectionTable, retention: Retention) {
    this.#connections = connections;
    this.#retention = retention;
  }

  /** A request, with its connection in state held, to be tried alone. */
  add(slot: number, journal: Buffer): void {
    this.#queue.push({ slot, journal });
    // its worker has died, with others in flight: its turn is over, and it waits for the next
    if (this.#current?.slot === slot) this.#current = null;
  }

  /** Lets the next one out when the one before is done. */
  tick(): void {
    if (this.#current !== null && this.#isUnderWay(this.#current)) return;
    this.#current = null;
    const next = this.#queue.shift();
    if (next === undefined) return;
    const { openedAtMs, quiescentRead } = this.#connections.snapshot(next.slot);
    this.#current = { slot: next.slot, openedAtMs, quiescentRead };
    this.#retention.handOn(next.slot, next.journal);
  }

  #isUnderWay({ slot, openedAtMs, quiescentRead }: Current): boolean {
    const { state, openedAtMs: opened, quiescentRead: read } = this.#connections.snapshot(slot);
    if (opened !== openedAtMs) return false;
    // a worker that has just received it has not begun with it yet
    if (state === STATE.idle) return read === quiescentRead;
    return state === STATE.held || state === STATE.handed || state === STATE.busy;
  }
}
