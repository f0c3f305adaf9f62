/** Latencies for people: times, tables of them, and how they are asked for. */
import { HoldfastError } from "../base/mod.ts";
import { statusText } from "../supervision/mod.ts";
import type { LatencyGroup, LatencyReport } from "../supervision/mod.ts";
import { ask } from "./control-client.ts";
import type { Service } from "./control-client.ts";
import { printable, shortened } from "./table.ts";
import type { Cell, Column } from "./table.ts";

/** What is shown of a distribution besides its maximum. */
export const QUANTILES: readonly number[] = [0.5, 0.9, 0.99, 0.999];
const NAME_LENGTH_MAX = 60;
const RED = 31;
const YELLOW = 33;

export const GROUP_COLUMNS: readonly Column[] = [
  { title: "COUNT", align: "right" },
  { title: "MEAN", align: "right" },
  { title: "P50", align: "right" },
  { title: "P90", align: "right" },
  { title: "P99", align: "right" },
  { title: "P99.9", align: "right" },
  { title: "MAX", align: "right" },
  { title: "WAITED", align: "right" },
  { title: "5XX", align: "right" },
  { title: "LEFT", align: "right" },
];

/** Asks a service for its latencies. */
export async function readLatency(service: Service): Promise<LatencyReport> {
  const answer = await ask(service, "GET", "/v1/latency");
  const isReport =
    typeof answer === "object" && answer !== null && "workers" in answer && "gone" in answer;
  // from our own reactor, behind a socket of mode 0600
  if (isReport) return answer as LatencyReport;
  throw new HoldfastError(
    "ERR_HOLDFAST_CONTROL",
    `Cannot read the latencies of ${service.name}: the answer has another shape. Use the version ` +
      `of holdfast that runs the service.`,
  );
}

/** A time in microseconds with three digits: `12.3us`, `4.56ms`, `1.20s`. */
export function timeText(us: number): string {
  if (us <= 0) return "0";
  if (us < 1000) return `${us.toPrecision(3)}us`;
  if (us < 999_500) return `${(us / 1000).toPrecision(3)}ms`;
  if (us < 99.95e6) return `${(us / 1e6).toPrecision(3)}s`;
  return `${Math.round(us / 1e6)}s`;
}

/** The cells of a group, as in `GROUP_COLUMNS`. */
export function groupCells(group: LatencyGroup): readonly Cell[] {
  const [p50 = 0, p90 = 0, p99 = 0, p999 = 0] = group.quantiles(QUANTILES);
  const waited = group.sumUs > 0 ? (100 * group.waitedUs) / group.sumUs : 0;
  const failed = group.byStatus[5] ?? 0;
  const left = group.byStatus[0] ?? 0;
  const times = [group.meanUs, p50, p90, p99, p999, group.slowestUs].map(timeText);
  return [
    plain(String(group.count)),
    ...times.map(plain),
    { text: waited >= 0.1 ? `${waited.toFixed(1)}%` : "", color: waited >= 10 ? YELLOW : null },
    { text: failed > 0 ? String(failed) : "", color: RED },
    { text: left > 0 ? String(left) : "", color: YELLOW },
  ];
}

/** A name that may have a client's words in it. */
export function nameCell(name: string): Cell {
  return plain(shortened(printable(name), NAME_LENGTH_MAX));
}

export function plain(text: string): Cell {
  return { text, color: null };
}

/** A group as JSON: times in microseconds. */
export function groupJson(group: LatencyGroup): Readonly<Record<string, unknown>> {
  const [p50, p90, p99, p999] = group.quantiles(QUANTILES);
  const statuses = group.byStatus.map((count, status) => [statusText(status), count] as const);
  return {
    count: group.count,
    meanUs: group.meanUs,
    p50Us: p50,
    p90Us: p90,
    p99Us: p99,
    p999Us: p999,
    maxUs: group.slowestUs,
    waitedUs: group.waitedUs,
    status: Object.fromEntries(statuses.filter(([, count]) => count > 0)),
    exemplar: group.exemplar,
  };
}
