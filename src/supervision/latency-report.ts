/**
 * The latencies of a service as the control socket tells them, and what readers do with them: add
 * up what belongs together, take what came since an earlier look, ask for quantiles.
 *
 * ```
 *   ledger: one table a worker, one of the gone --> LatencyReport --> groups by a key
 *                                                        |
 *                    earlier report --------------------(-)--> what came meanwhile
 * ```
 */
import { HISTOGRAM_BUCKETS, bucketOf, quantilesUs } from "../base/mod.ts";
import type { LatencyExemplar, LatencySeries } from "../ledger/mod.ts";

/** A series with its counts as pairs of bucket and count. */
export interface ReportedSeries extends Omit<LatencySeries, "counts"> {
  readonly buckets: readonly number[];
}

/** A worker that runs, with what it says of itself at each heartbeat. */
export interface ReportedWorker {
  readonly index: number;
  readonly id: number;
  readonly pid: number;
  readonly generation: number;
  readonly requests: number;
  readonly inFlight: number;
  readonly connections: number;
  readonly loopLagMs: number;
  readonly loopActiveMs: number;
  readonly heapUsedBytes: number;
  readonly heapLimitBytes: number;
  readonly externalBytes: number;
  readonly gcCount: number;
  readonly gcMs: number;
  readonly series: readonly ReportedSeries[];
}

/** `GET /v1/latency`. Counts are since the start of the service. */
export interface LatencyReport {
  /** Wall clock, in milliseconds. */
  readonly atMs: number;
  readonly startedAt: string;
  readonly workers: readonly ReportedWorker[];
  /** Of all workers that have gone. */
  readonly gone: readonly ReportedSeries[];
}

/** The series of a table, for a report. */
export function reportSeries(series: readonly LatencySeries[]): readonly ReportedSeries[] {
  return series.map(({ counts, ...rest }) => {
    const buckets: number[] = [];
    counts.forEach((count, bucket) => {
      if (count > 0) buckets.push(bucket, count);
    });
    return Object.assign(rest, { buckets });
  });
}

/** Requests that are looked at together. */
export class LatencyGroup {
  readonly counts: Float64Array = new Float64Array(HISTOGRAM_BUCKETS);
  count = 0;
  sumUs = 0;
  waitedUs = 0;
  /** Since the start: what came meanwhile may have been faster. */
  maxUs = 0;
  /** Requests by the first digit of their status; at 0 those whose client left. */
  readonly byStatus: number[] = [0, 0, 0, 0, 0, 0];
  exemplar: LatencyExemplar | null = null;

  add({ buckets, status, sumUs, waitedUs, maxUs, exemplar }: ReportedSeries, sign = 1): void {
    let count = 0;
    for (let at = 0; at + 1 < buckets.length; at += 2) {
      const bucket = buckets[at] ?? 0;
      const counted = sign * (buckets[at + 1] ?? 0);
      this.counts[bucket] = (this.counts[bucket] ?? 0) + counted;
      count += counted;
    }
    this.count += count;
    this.byStatus[status] = (this.byStatus[status] ?? 0) + count;
    this.sumUs += sign * sumUs;
    this.waitedUs += sign * waitedUs;
    if (sign > 0) this.maxUs = Math.max(this.maxUs, maxUs);
    const isNewer = exemplar !== null && exemplar.atMs > (this.exemplar?.atMs ?? 0);
    if (sign > 0 && isNewer) this.exemplar = exemplar;
  }

  /** Times below which these parts of the requests were answered, in microseconds. */
  quantiles(parts: readonly number[]): readonly number[] {
    return quantilesUs(this.counts, parts).map((us) => Math.min(us, this.maxUs));
  }

  get meanUs(): number {
    return this.count > 0 ? this.sumUs / this.count : 0;
  }

  /** The slowest one: to the microsecond, unless the slowest of all came before these. */
  get slowestUs(): number {
    const highest = this.counts.findLastIndex((count) => count > 0);
    return highest === bucketOf(this.maxUs) ? this.maxUs : (this.quantiles([1])[0] ?? 0);
  }
}

/** What a series is counted under; `worker` null: of the gone. */
export type GroupKey = (series: ReportedSeries, worker: ReportedWorker | null) => string | null;

/**
 * The requests of a report by key, of those since `before` if that is given. A key of null leaves a
 * series out. Keys that make no difference between workers keep what a worker that has died in
 * between had counted; its series have gone over to `gone`.
 */
export function groupLatencies(
  report: LatencyReport,
  key: GroupKey,
  before: LatencyReport | null = null,
): ReadonlyMap<string, LatencyGroup> {
  const groups = new Map<string, LatencyGroup>();
  addAll(groups, report, key, 1);
  if (before !== null) addAll(groups, before, key, -1);
  for (const [name, group] of groups) if (group.count <= 0) groups.delete(name);
  return groups;
}

function addAll(
  groups: Map<string, LatencyGroup>,
  report: LatencyReport,
  key: GroupKey,
  sign: 1 | -1,
): void {
  const add = (series: ReportedSeries, worker: ReportedWorker | null): void => {
    const name = key(series, worker);
    if (name === null) return;
    const group = groups.get(name) ?? new LatencyGroup();
    groups.set(name, group);
    group.add(series, sign);
  };
  for (const worker of report.workers) for (const series of worker.series) add(series, worker);
  for (const series of report.gone) add(series, null);
}

/** Everything as one group. */
export function allLatencies(
  report: LatencyReport,
  before: LatencyReport | null = null,
): LatencyGroup {
  return groupLatencies(report, () => "", before).get("") ?? new LatencyGroup();
}

/** Status as people write it: `2xx`; `left` for a client that did not wait. */
export function statusText(status: number): string {
  return status === 0 ? "left" : `${status}xx`;
}
