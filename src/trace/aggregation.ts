/**
 * Aggregations: what a trace keeps instead of events. Each function f here has the property that
 * DTrace rests on (Cantrill, Shapiro, Leventhal, "Dynamic Instrumentation of Production Systems",
 * USENIX 2004): f(f(a) and f(b)) = f(a and b). So workers aggregate alone and are merged in any
 * order.
 *
 * ```
 *   count [n]   sum [s]   avg [s, n]   min, max [v]   uniq: uniq.ts
 *   quantize, lquantize, llquantize [bucket, n, bucket, n, ...]
 * ```
 * A key is a tuple of texts. A value that is no number is skipped and counted.
 */
import { lquantizeBucket, llquantizeBucket, quantizeBucket } from "./buckets.ts";
import { KEYS_MAX } from "./limits.ts";
import type { Unit } from "./syntax.ts";
import { Uniq } from "./uniq.ts";
import { number, text } from "./values.ts";
import type { AggregateName } from "./vocabulary.ts";

/** What is the same in all workers. */
export interface AggregationShape {
  readonly name: string;
  readonly kind: AggregateName;
  /** low, high and step of lquantize; otherwise empty. */
  readonly params: readonly number[];
  readonly keyCount: number;
  readonly unit: Unit | null;
}

export interface AggregationSnapshot extends AggregationShape {
  readonly rows: readonly (readonly [keys: readonly string[], data: readonly number[]])[];
  /** Keys that were not taken. */
  readonly drops: number;
  /** Values that were no numbers. */
  readonly skipped: number;
}

interface Cell {
  /** The value is a number, or nobody needs one. */
  add(value: unknown): void;
  merge(data: readonly number[]): void;
  data(): readonly number[];
  /** What rows are sorted by. */
  weight(): number;
}

/** Keys are joined by a character that no key has. */
const SEPARATOR = "\u001F";

/** How much room all keys of a trace take in one worker. */
export interface KeySpace {
  chars: number;
  readonly charsMax: number;
}

export class Aggregation {
  readonly shape: AggregationShape;
  drops = 0;
  skipped = 0;
  readonly #cells: Map<string, Cell> = new Map();
  readonly #keysMax: number;
  readonly #space: KeySpace;
  readonly #takesNumbers: boolean;
  #lastId = "";
  #last: Cell | null = null;

  constructor(shape: AggregationShape, space: KeySpace, keysMax: number = KEYS_MAX) {
    this.shape = shape;
    this.#space = space;
    this.#keysMax = keysMax;
    this.#takesNumbers = shape.kind !== "count" && shape.kind !== "uniq";
  }

  get size(): number {
    return this.#cells.size;
  }

  /** @param id of keyId */
  add(id: string, value: unknown): void {
    if (this.#takesNumbers && Number.isNaN(number(value))) {
      this.skipped += 1;
      return;
    }
    // the same key comes again and again, above all where there is only one
    if (id !== this.#lastId || this.#last === null) {
      this.#last = this.#cells.get(id) ?? this.#create(id);
      this.#lastId = id;
    }
    this.#last?.add(value);
  }

  /** Adds what another worker has. */
  merge(snapshot: AggregationSnapshot): void {
    this.drops += snapshot.drops;
    this.skipped += snapshot.skipped;
    for (const [keys, data] of snapshot.rows) {
      const id = keyId(keys);
      (this.#cells.get(id) ?? this.#create(id))?.merge(data);
    }
  }

  #create(id: string): Cell | null {
    const isFull =
      this.#cells.size >= this.#keysMax || this.#space.chars + id.length > this.#space.charsMax;
    if (isFull) {
      this.drops += 1;
      return null;
    }
    const cell = makeCell(this.shape);
    this.#cells.set(id, cell);
    this.#space.chars += id.length;
    return cell;
  }

  #remove(id: string): void {
    if (this.#cells.delete(id)) this.#space.chars -= id.length;
    this.#last = null;
  }

  clear(): void {
    for (const id of this.#cells.keys()) this.#space.chars -= id.length;
    this.#cells.clear();
    this.#last = null;
  }

  /** Keeps the `count` rows that weigh most. */
  truncate(count: number): void {
    if (this.#cells.size <= count) return;
    for (const [id] of this.#sorted().slice(count)) this.#remove(id);
  }

  #sorted(): readonly (readonly [string, Cell])[] {
    return [...this.#cells].toSorted(([, left], [, right]) => right.weight() - left.weight());
  }

  /** Rows that weigh most come first. */
  snapshot(): AggregationSnapshot {
    const rows = this.#sorted().map(([id, cell]) => [keysOf(id, this.shape), cell.data()] as const);
    return { ...this.shape, rows, drops: this.drops, skipped: this.skipped };
  }
}

/** One text for a tuple of keys. */
export function keyId(keys: readonly string[]): string {
  const [only = ""] = keys;
  if (keys.length <= 1) return only;
  let id = clean(only);
  for (let at = 1; at < keys.length; at += 1) id += SEPARATOR + clean(keys[at] ?? "");
  return id;
}

function clean(key: string): string {
  return key.includes(SEPARATOR) ? key.replaceAll(SEPARATOR, " ") : key;
}

function keysOf(id: string, { keyCount }: AggregationShape): readonly string[] {
  return keyCount === 0 ? [] : keyCount === 1 ? [id] : id.split(SEPARATOR);
}

function makeCell(shape: AggregationShape): Cell {
  switch (shape.kind) {
    case "count":
      return new Count();
    case "sum":
      return new Sum();
    case "avg":
      return new Average();
    case "min":
      return new Extreme(Math.min, Infinity);
    case "max":
      return new Extreme(Math.max, -Infinity);
    case "quantize":
      return new Distribution(quantizeBucket);
    case "llquantize":
      return new Distribution(llquantizeBucket);
    case "lquantize":
      return new Distribution((value) => lquantizeBucket(value, shape.params));
    case "uniq":
      return new Different();
  }
}

/** JSON has no infinity. */
function finite(value: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));
}

class Count implements Cell {
  #count = 0;

  add(): void {
    this.#count += 1;
  }

  merge([count = 0]: readonly number[]): void {
    this.#count += count;
  }

  data(): readonly number[] {
    return [this.#count];
  }

  weight(): number {
    return this.#count;
  }
}

class Sum implements Cell {
  #sum = 0;

  add(value: unknown): void {
    this.#sum = finite(this.#sum + number(value));
  }

  merge([sum = 0]: readonly number[]): void {
    this.#sum = finite(this.#sum + sum);
  }

  data(): readonly number[] {
    return [this.#sum];
  }

  weight(): number {
    return this.#sum;
  }
}

class Average implements Cell {
  #sum = 0;
  #count = 0;

  add(value: unknown): void {
    this.#sum = finite(this.#sum + number(value));
    this.#count += 1;
  }

  merge([sum = 0, count = 0]: readonly number[]): void {
    this.#sum = finite(this.#sum + sum);
    this.#count += count;
  }

  data(): readonly number[] {
    return [this.#sum, this.#count];
  }

  weight(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }
}

class Extreme implements Cell {
  #value: number;
  readonly #choose: (left: number, right: number) => number;

  constructor(choose: (left: number, right: number) => number, start: number) {
    this.#choose = choose;
    this.#value = start;
  }

  add(value: unknown): void {
    this.#value = this.#choose(this.#value, finite(number(value)));
  }

  merge([value]: readonly number[]): void {
    if (value !== undefined) this.#value = this.#choose(this.#value, value);
  }

  data(): readonly number[] {
    return Number.isFinite(this.#value) ? [this.#value] : [];
  }

  weight(): number {
    return Number.isFinite(this.#value) ? this.#value : 0;
  }
}

class Distribution implements Cell {
  readonly #counts: Map<number, { count: number }> = new Map();
  readonly #bucket: (value: number) => number;
  /** The same bucket comes again and again. */
  #last: { count: number } = { count: 0 };
  #lastBucket = Number.NaN;
  #count = 0;

  constructor(bucket: (value: number) => number) {
    this.#bucket = bucket;
  }

  add(value: unknown): void {
    this.#put(this.#bucket(finite(number(value))), 1);
  }

  #put(bucket: number, count: number): void {
    if (bucket !== this.#lastBucket) this.#choose(bucket);
    this.#last.count += count;
    this.#count += count;
  }

  #choose(bucket: number): void {
    this.#last = this.#counts.get(bucket) ?? { count: 0 };
    this.#counts.set(bucket, this.#last);
    this.#lastBucket = bucket;
  }

  merge(data: readonly number[]): void {
    for (let at = 0; at + 1 < data.length; at += 2) this.#put(data[at] ?? 0, data[at + 1] ?? 0);
  }

  data(): readonly number[] {
    const sorted = [...this.#counts].toSorted(([left], [right]) => left - right);
    return sorted.flatMap(([bucket, { count }]) => [bucket, count]);
  }

  weight(): number {
    return this.#count;
  }
}

class Different implements Cell {
  readonly #uniq: Uniq = new Uniq();

  add(value: unknown): void {
    this.#uniq.add(text(value));
  }

  merge(data: readonly number[]): void {
    this.#uniq.merge(data);
  }

  data(): readonly number[] {
    return this.#uniq.data();
  }

  weight(): number {
    return this.#uniq.estimate();
  }
}
