/**
 * What waits before a gate: a list for each criticality, from which anything can be taken out at
 * once, wherever it stands.
 */
import { CRITICALITIES } from "./context.ts";

/** One that waits. */
export interface Waiting {
  /** When it came, by `nowMs()`; for a request of a server: when the kernel had it. */
  readonly arrivedMs: number;
  /** 0: what must be served first. */
  readonly rank: number;
  older: Waiting | null;
  newer: Waiting | null;
  isQueued: boolean;
}

interface Lane {
  oldest: Waiting | null;
  newest: Waiting | null;
}

/** See the file's docstring. */
export class GateQueue<Entry extends Waiting> {
  readonly #lanes: readonly Lane[] = CRITICALITIES.map(() => ({ oldest: null, newest: null }));
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(entry: Entry): void {
    const lane = this.#lane(entry);
    entry.older = lane.newest;
    entry.newer = null;
    if (lane.newest === null) lane.oldest = entry;
    else lane.newest.newer = entry;
    lane.newest = entry;
    entry.isQueued = true;
    this.#size += 1;
  }

  remove(entry: Entry): void {
    if (!entry.isQueued) return;
    const lane = this.#lane(entry);
    if (entry.older === null) lane.oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === null) lane.newest = entry.older;
    else entry.newer.older = entry.older;
    entry.older = null;
    entry.newer = null;
    entry.isQueued = false;
    this.#size -= 1;
  }

  /** The next to be let in: of the first lane that has any, the newest or the oldest. */
  next(newestFirst: boolean): Entry | null {
    for (const lane of this.#lanes) {
      const entry = newestFirst ? lane.newest : lane.oldest;
      if (entry !== null) return entry as Entry; // only such are added
    }
    return null;
  }

  /** The one to give up first: the oldest of the last lane that has any, up to `rank`. */
  worst(rank: number): Entry | null {
    for (let lane = this.#lanes.length - 1; lane > rank; lane -= 1) {
      const entry = this.#lanes[lane]?.oldest ?? null;
      if (entry !== null) return entry as Entry; // as above
    }
    return null;
  }

  /** Of all lanes. */
  oldest(): Entry | null {
    let found: Waiting | null = null;
    for (const { oldest } of this.#lanes) {
      if (oldest !== null && (found === null || oldest.arrivedMs < found.arrivedMs)) found = oldest;
    }
    return found as Entry | null; // as above
  }

  #lane(entry: Waiting): Lane {
    return this.#lanes[entry.rank] as Lane; // ranks are indexes of CRITICALITIES
  }
}
