/**
 * How long requests took, by route and kind of outcome: one table for each worker row, written by
 * its worker alone, and one in which the reactor adds up what workers that have gone had counted.
 *
 * ```
 *   series:  name, status | sum, waited, max | exemplar | 3,840 counts
 *            "GET /orders/:id", 2
 * ```
 * A series is published by its `nameBytes`, stored last, and never renamed while its worker lives.
 * Readers may find a count that its sum does not have yet, and the other way round.
 */
import { HISTOGRAM_BUCKETS, bucketOf } from "../base/mod.ts";
import { LATENCY_NAME_BYTES_MAX, LATENCY_SERIES_BYTES } from "./layout.ts";
import { LATENCY_BYTES, LATENCY_SERIES_MAX, SERIES, latencyOffset } from "./layout.ts";
import type { LedgerShape } from "./layout.ts";

/** What is counted under no route of its own: the table of the worker is full. */
export const OTHER_ROUTE = "(other)";
/** A name and a status of each: what always has a place. */
const STATUS_KINDS = 6;

/** One request that can be looked up in a tracing system. */
export interface LatencyExemplar {
  readonly traceId: string;
  readonly spanId: string;
  readonly us: number;
  /** Wall clock, in milliseconds. */
  readonly atMs: number;
}

export interface LatencySeries {
  /** Method and route: `GET /orders/:id`. */
  readonly name: string;
  /** First digit of the status codes; 0: the client left before the end of the response. */
  readonly status: number;
  readonly sumUs: number;
  /** The part of it in which requests lay in the kernel. */
  readonly waitedUs: number;
  readonly maxUs: number;
  readonly exemplar: LatencyExemplar | null;
  /** By bucket, see `base/histogram.ts`. A copy. */
  readonly counts: Float64Array;
}

/** See the file's docstring. */
export class LatencyTable {
  readonly #bytes: Buffer;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  /** Series that are taken, as far as this view has seen. */
  #used = 0;

  constructor(memory: ArrayBuffer, shape: LedgerShape, row: number) {
    const offset = latencyOffset(shape, row);
    this.#bytes = Buffer.from(memory, offset, LATENCY_BYTES);
    this.#i32 = new Int32Array(memory, offset, LATENCY_BYTES >> 2);
    this.#f64 = new Float64Array(memory, offset, LATENCY_BYTES >> 3);
  }

  /**
   * The series of a name and status, begun if there is none. When the table is full, that of
   * `(other)`, for which a place is kept.
   */
  series(name: string, status: number): number {
    const bytes = Buffer.from(name).subarray(0, LATENCY_NAME_BYTES_MAX);
    const found = this.#find(bytes, status);
    if (found >= 0) return found;
    const isKept = name === OTHER_ROUTE;
    const room = LATENCY_SERIES_MAX - (isKept ? 0 : STATUS_KINDS);
    if (this.#used >= room) return isKept ? 0 : this.series(OTHER_ROUTE, status);
    const series = this.#used;
    this.#used += 1;
    const at = series * LATENCY_SERIES_BYTES;
    this.#bytes.set(bytes, at + SERIES.name);
    this.#i32[(at + SERIES.status) >> 2] = status;
    this.#i32[(at + SERIES.nameBytes) >> 2] = bytes.length;
    return series;
  }

  #find(name: Buffer, status: number): number {
    for (let series = 0; series < LATENCY_SERIES_MAX; series += 1) {
      const at = series * LATENCY_SERIES_BYTES;
      const length = this.#i32[(at + SERIES.nameBytes) >> 2] ?? 0;
      if (length === 0) {
        this.#used = series;
        return -1;
      }
      if (length !== name.length || this.#i32[(at + SERIES.status) >> 2] !== status) continue;
      const start = at + SERIES.name;
      if (name.compare(this.#bytes, start, start + length) === 0) return series;
    }
    this.#used = LATENCY_SERIES_MAX;
    return -1;
  }

  /** Counts a request. Written by the table's worker; nothing is allocated. */
  record(series: number, us: number, waitedUs: number): void {
    const at = (series * LATENCY_SERIES_BYTES) >> 3;
    const f64 = this.#f64;
    const bucket = bucketOf(us);
    const count = at + (SERIES.counts >> 3) + bucket;
    f64[count] = (f64[count] ?? 0) + 1;
    this.#widen(2 * at, bucket + 1);
    f64[at + (SERIES.sumUs >> 3)] = (f64[at + (SERIES.sumUs >> 3)] ?? 0) + us;
    if (us > (f64[at + (SERIES.maxUs >> 3)] ?? 0)) f64[at + (SERIES.maxUs >> 3)] = us;
    if (waitedUs <= 0) return;
    f64[at + (SERIES.waitedUs >> 3)] = (f64[at + (SERIES.waitedUs >> 3)] ?? 0) + waitedUs;
  }

  #widen(at: number, end: number): void {
    const lowest = at + (SERIES.lowest >> 2);
    const highest = at + (SERIES.highest >> 2);
    const low = this.#i32[lowest] ?? 0;
    if (low === 0 || end < low) this.#i32[lowest] = end;
    if (end > (this.#i32[highest] ?? 0)) this.#i32[highest] = end;
  }

  /** When the exemplar of a series was taken; 0: there is none. */
  exemplarAtMs(series: number): number {
    return this.#f64[(series * LATENCY_SERIES_BYTES + SERIES.exemplarAtMs) >> 3] ?? 0;
  }

  /** Notes a request that a tracing system knows: 32 and 16 hexadecimal digits. */
  setExemplar(series: number, { traceId, spanId, us, atMs }: LatencyExemplar): void {
    const at = series * LATENCY_SERIES_BYTES;
    const sequence = (at + SERIES.exemplarSequence) >> 2;
    const before = (this.#i32[sequence] ?? 0) & ~1; // odd: a worker died while it wrote
    Atomics.store(this.#i32, sequence, before + 1);
    this.#bytes.write(traceId, at + SERIES.traceId, 32, "latin1");
    this.#bytes.write(spanId, at + SERIES.spanId, 16, "latin1");
    this.#f64[(at + SERIES.exemplarUs) >> 3] = us;
    this.#f64[(at + SERIES.exemplarAtMs) >> 3] = atMs;
    Atomics.store(this.#i32, sequence, before + 2);
  }

  /** Method and route of each series; some come several times, by their status. */
  names(): string[] {
    const names: string[] = [];
    for (let series = 0; series < LATENCY_SERIES_MAX; series += 1) {
      const at = series * LATENCY_SERIES_BYTES;
      const length = this.#i32[(at + SERIES.nameBytes) >> 2] ?? 0;
      if (length <= 0 || length > LATENCY_NAME_BYTES_MAX) break;
      const start = at + SERIES.name;
      names.push(this.#bytes.toString("utf8", start, start + length));
    }
    return names;
  }

  /** All series, as of now. */
  read(): LatencySeries[] {
    return this.names().map((name, series) => {
      const at = series * LATENCY_SERIES_BYTES;
      return {
        name,
        status: this.#i32[(at + SERIES.status) >> 2] ?? 0,
        sumUs: this.#f64[(at + SERIES.sumUs) >> 3] ?? 0,
        waitedUs: this.#f64[(at + SERIES.waitedUs) >> 3] ?? 0,
        maxUs: this.#f64[(at + SERIES.maxUs) >> 3] ?? 0,
        exemplar: this.#exemplar(at),
        counts: this.#counts(at),
      };
    });
  }

  #counts(at: number): Float64Array {
    const counts = new Float64Array(HISTOGRAM_BUCKETS);
    const first = Math.max(0, (this.#i32[(at + SERIES.lowest) >> 2] ?? 0) - 1);
    const end = Math.min(HISTOGRAM_BUCKETS, this.#i32[(at + SERIES.highest) >> 2] ?? 0);
    const base = (at + SERIES.counts) >> 3;
    if (first < end) counts.set(this.#f64.subarray(base + first, base + end), first);
    return counts;
  }

  #exemplar(at: number): LatencyExemplar | null {
    const sequence = Atomics.load(this.#i32, (at + SERIES.exemplarSequence) >> 2);
    const exemplar = {
      traceId: this.#bytes.toString("latin1", at + SERIES.traceId, at + SERIES.traceId + 32),
      spanId: this.#bytes.toString("latin1", at + SERIES.spanId, at + SERIES.spanId + 16),
      us: this.#f64[(at + SERIES.exemplarUs) >> 3] ?? 0,
      atMs: this.#f64[(at + SERIES.exemplarAtMs) >> 3] ?? 0,
    };
    const isWhole =
      sequence !== 0 &&
      sequence % 2 === 0 &&
      Atomics.load(this.#i32, (at + SERIES.exemplarSequence) >> 2) === sequence &&
      /^[0-9a-f]{32}$/.test(exemplar.traceId) &&
      /^[0-9a-f]{16}$/.test(exemplar.spanId);
    return isWhole ? exemplar : null;
  }

  /**
   * Takes over what another table has counted, and empties that one, series by series from the
   * last: if this process dies on the way, at most one series is counted twice.
   */
  takeOver(other: LatencyTable): void {
    const taken = other.read();
    for (let index = taken.length - 1; index >= 0; index -= 1) {
      const series = taken[index];
      if (series === undefined) continue;
      this.#add(series);
      const at = index * LATENCY_SERIES_BYTES;
      other.#i32[(at + SERIES.nameBytes) >> 2] = 0;
      other.#bytes.fill(0, at, at + SERIES.counts);
      // what is 0 already may be a page that nobody has touched
      series.counts.forEach((count, bucket) => {
        if (count > 0) other.#f64[((at + SERIES.counts) >> 3) + bucket] = 0;
      });
    }
    other.#used = 0;
  }

  #add(from: LatencySeries): void {
    const series = this.series(from.name, from.status);
    const at = (series * LATENCY_SERIES_BYTES) >> 3;
    const f64 = this.#f64;
    const counts = at + (SERIES.counts >> 3);
    for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket += 1) {
      const count = from.counts[bucket] ?? 0;
      if (count <= 0) continue;
      f64[counts + bucket] = (f64[counts + bucket] ?? 0) + count;
      this.#widen(2 * at, bucket + 1);
    }
    f64[at + (SERIES.sumUs >> 3)] = (f64[at + (SERIES.sumUs >> 3)] ?? 0) + from.sumUs;
    f64[at + (SERIES.waitedUs >> 3)] = (f64[at + (SERIES.waitedUs >> 3)] ?? 0) + from.waitedUs;
    const maxUs = at + (SERIES.maxUs >> 3);
    f64[maxUs] = Math.max(f64[maxUs] ?? 0, from.maxUs);
    if (from.exemplar !== null) this.setExemplar(series, from.exemplar);
  }
}
