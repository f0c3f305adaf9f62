/**
 * Entries of weak maps as V8's snapshot has them: a value is held by its key and by the table, and
 * both edges say so in a text by which DevTools knows them for one (`tryParseWeakMapEdgeName`).
 *
 * ```
 *   entries   0 1 2 | 3 4 | ...     table by table: [first, end) of each
 *   by key    2 0 3 ...             their places in the order of the keys
 * ```
 */
import type { LiveObjects } from "./live.ts";

/** An edge of a node: the value, and what the edge is called behind its number. */
export interface WeakMapEdge {
  readonly value: number;
  readonly label: string;
}

/** The name and the number of a node. */
export interface NodeText {
  readonly name: string;
  readonly id: number;
}

export class WeakMapEdges {
  readonly #tables = new Map<number, { readonly first: number; end: number }>();
  readonly #tableOf: number[] = [];
  readonly #keys: number[] = [];
  readonly #values: number[] = [];
  readonly #byKey: Uint32Array;
  readonly #textOf: (address: number) => NodeText;

  constructor(live: LiveObjects, textOf: (address: number) => NodeText) {
    this.#textOf = textOf;
    live.weakEntries((table, key, value) => {
      const place = this.#keys.length;
      this.#tableOf.push(table);
      this.#keys.push(key);
      this.#values.push(value);
      const range = this.#tables.get(table);
      if (range === undefined) this.#tables.set(table, { first: place, end: place + 1 });
      else range.end = place + 1;
    });
    const places = Uint32Array.from(this.#keys.keys());
    this.#byKey = places.toSorted((a, b) => (this.#keys[a] ?? 0) - (this.#keys[b] ?? 0));
  }

  /** Edges of an object, be it the table of a weak map or a key. */
  *of(address: number): Generator<WeakMapEdge> {
    const range = this.#tables.get(address) ?? { first: 0, end: 0 };
    for (let place = range.first; place < range.end; place += 1) yield this.#edge(place);
    for (let at = this.#firstOfKey(address); at < this.#byKey.length; at += 1) {
      const place = this.#byKey[at] ?? 0;
      if (this.#keys[place] !== address) return;
      yield this.#edge(place);
    }
  }

  #firstOfKey(key: number): number {
    let [low, high] = [0, this.#byKey.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[this.#byKey[middle] ?? 0] ?? 0) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #edge(place: number): WeakMapEdge {
    const value = this.#values[place] ?? 0;
    const [key, held] = [this.#textOf(this.#keys[place] ?? 0), this.#textOf(value)];
    const { id } = this.#textOf(this.#tableOf[place] ?? 0);
    const label =
      `part of key (${key.name} @${key.id}) -> value (${held.name} @${held.id}) ` +
      `pair in WeakMap (table @${id})`;
    return { value, label };
  }
}
