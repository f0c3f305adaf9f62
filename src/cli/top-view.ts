/**
 * What `holdfast top` draws: one look at a service, from two reports a moment apart.
 *
 * ```
 *   shop  running  up 3m  2 workers      1,204 req/s   p50 1.2ms   p99 8.1ms   in flight 12
 *
 *   WORKER  PID  STATE  REQ/S ...                       one line a worker
 *   ROUTE          REQ/S ...                            where most of the time goes first
 *   1s    .  :  *                                       heat map: one column an interval,
 *   32ms  :##*                                          the newest on the right
 * ```
 */
import { bucketLowUs, formatDuration, formatSize } from "../base/mod.ts";
import { allLatencies, groupLatencies } from "../supervision/mod.ts";
import type { LatencyGroup, LatencyReport, ReportedWorker } from "../supervision/mod.ts";
import type { Status, StatusWorker } from "../supervision/mod.ts";
import { QUANTILES, groupJson, nameCell, plain, timeText } from "./latency-view.ts";
import { paint, printable, renderTable } from "./table.ts";
import type { Cell, Column } from "./table.ts";

/** What is seen at one time. */
export interface Look {
  readonly status: Status;
  readonly report: LatencyReport;
}

/** An interval: what came between two looks. */
export interface Interval {
  readonly now: Look;
  /** Null on the first look: then everything since the start. */
  readonly before: Look | null;
}

export interface TopSize {
  readonly columns: number;
  readonly rows: number;
}

const RED = 31;
const YELLOW = 33;
const DIM = 2;
const BOLD = 1;
const RIGHT = "right" as const;

const WORKER_COLUMNS: readonly Column[] = [
  { title: "WORKER", align: RIGHT },
  { title: "PID", align: RIGHT },
  { title: "STATE", align: "left" },
  ...["REQ/S", "IN FLIGHT", "P50", "P99", "MAX", "LAG", "BUSY", "CPU", "GC", "HEAP", "RSS"].map(
    (title) => ({ title, align: RIGHT }),
  ),
];

const ROUTE_COLUMNS: readonly Column[] = [
  { title: "ROUTE", align: "left" },
  ...["REQ/S", "P50", "P90", "P99", "P99.9", "MAX", "5XX", "LEFT"].map((title) => ({
    title,
    align: RIGHT,
  })),
];

/** The heat map has a row for each doubling. */
const HEAT_LEAST_US = 250;
const HEAT_ROWS_MAX = 16;
const HEAT_SIGNS = " .:-=+*#%@";

/** Seconds that an interval spans. */
function secondsOf({ now, before }: Interval): number {
  const since = before?.report.atMs ?? Date.parse(now.report.startedAt);
  return Math.max(0.001, (now.report.atMs - since) / 1000);
}

/** The lines of the page, none longer than the terminal is wide, no more than it is high. */
export function renderTop(
  interval: Interval,
  heat: readonly LatencyGroup[],
  size: TopSize,
  isColored: boolean,
): readonly string[] {
  const head = renderHead(interval, isColored);
  const workers = renderTable(WORKER_COLUMNS, workerRows(interval), isColored);
  const map = renderHeat(heat, size.columns, isColored);
  const room = size.rows - head.length - workers.length - map.length - 4;
  const routes = renderTable(ROUTE_COLUMNS, routeRows(interval, Math.max(3, room)), isColored);
  const lines = [...head, "", ...workers, "", ...routes, "", ...map];
  return lines.slice(0, Math.max(1, size.rows - 1)).map((line) => fitted(line, size.columns));
}

function renderHead(interval: Interval, isColored: boolean): readonly string[] {
  const { status, report } = interval.now;
  const all = allLatencies(report, interval.before?.report ?? null);
  const [p50 = 0, p90 = 0, p99 = 0, p999 = 0] = all.quantiles(QUANTILES);
  const rate = all.count / secondsOf(interval);
  const inFlight = report.workers.reduce((sum, worker) => sum + worker.inFlight, 0);
  const title = paint({ text: printable(status.name), color: BOLD }, isColored);
  return [
    `${title}  ${status.state}  up ${formatDuration(status.uptimeMs)}  ` +
      `generation ${status.generation}  restarts ${status.totals.restarts}`,
    `${rateText(rate)} req/s  in flight ${inFlight}  p50 ${timeText(p50)}  p90 ${timeText(p90)}  ` +
      `p99 ${timeText(p99)}  p99.9 ${timeText(p999)}  max ${timeText(all.slowestUs)}`,
  ];
}

function workerRows(interval: Interval): readonly (readonly Cell[])[] {
  const { status, report } = interval.now;
  const groups = groupLatencies(
    report,
    (_, worker) => (worker === null ? null : String(worker.id)),
    interval.before?.report ?? null,
  );
  return status.workers.map((worker) => workerRow(interval, worker, groups));
}

function workerRow(
  interval: Interval,
  worker: StatusWorker,
  groups: ReadonlyMap<string, LatencyGroup>,
): readonly Cell[] {
  const { index, id, pid, state, cpuPercent, rssBytes } = worker;
  const vitals = interval.now.report.workers.find((each) => each.id === id && id !== 0);
  const shown = [plain(String(index)), plain(pid > 0 ? String(pid) : "-")];
  shown.push({ text: state, color: state === "ready" ? null : YELLOW });
  if (vitals === undefined) return shown;
  const group = groups.get(String(id));
  const [p50 = 0, p99 = 0] = group?.quantiles([0.5, 0.99]) ?? [];
  const change = changes(interval, vitals);
  const { loopLagMs, inFlight } = vitals;
  return [
    ...shown,
    plain(rateText((group?.count ?? 0) / secondsOf(interval))),
    plain(String(inFlight)),
    plain(timeText(p50)),
    plain(timeText(p99)),
    plain(timeText(group?.slowestUs ?? 0)),
    { text: formatDuration(loopLagMs), color: loopLagMs >= 1000 ? RED : null },
    { text: percent(change.busy), color: change.busy >= 95 ? YELLOW : null },
    plain(percent(cpuPercent)),
    { text: percent(change.gc), color: change.gc >= 20 ? YELLOW : null },
    heapCell(vitals),
    plain(formatSize(rssBytes)),
  ];
}

function heapCell({ heapUsedBytes, heapLimitBytes }: ReportedWorker): Cell {
  const isTight = heapLimitBytes > 0 && heapUsedBytes > 0.85 * heapLimitBytes;
  return { text: formatSize(heapUsedBytes), color: isTight ? RED : null };
}

/** Percent of the interval in which the loop was busy, and in which garbage was collected. */
function changes(interval: Interval, now: ReportedWorker): { busy: number; gc: number } {
  const before = interval.before?.report.workers.find(({ id }) => id === now.id);
  const ms = 1000 * secondsOf(interval);
  const share = (value: number, former: number): number =>
    Math.min(100, Math.max(0, (100 * (value - former)) / ms));
  return {
    busy: share(now.loopActiveMs, before?.loopActiveMs ?? 0),
    gc: share(now.gcMs, before?.gcMs ?? 0),
  };
}

function routeRows(interval: Interval, rowsMax: number): readonly (readonly Cell[])[] {
  const { report } = interval.now;
  const groups = groupLatencies(report, ({ name }) => name, interval.before?.report ?? null);
  const seconds = secondsOf(interval);
  return [...groups]
    .toSorted(([, a], [, b]) => b.sumUs - a.sumUs)
    .slice(0, rowsMax)
    .map(([name, group]) => routeRow(name, group, seconds));
}

function routeRow(name: string, group: LatencyGroup, seconds: number): readonly Cell[] {
  const times = [...group.quantiles(QUANTILES), group.slowestUs].map(timeText);
  const failed = group.byStatus[5] ?? 0;
  const left = group.byStatus[0] ?? 0;
  return [
    nameCell(name),
    plain(rateText(group.count / seconds)),
    ...times.map(plain),
    { text: failed > 0 ? String(failed) : "", color: RED },
    { text: left > 0 ? String(left) : "", color: YELLOW },
  ];
}

/** One column an interval, one row for each doubling of the time; darker is more requests. */
function renderHeat(
  heat: readonly LatencyGroup[],
  columns: number,
  isColored: boolean,
): readonly string[] {
  const shown = heat.slice(-Math.max(10, columns - 10)).map((group) => heatColumn(group));
  const most = Math.max(0, ...shown.flat());
  if (most === 0) return [];
  const highest = Math.max(...shown.map((column) => column.findLastIndex((count) => count > 0)));
  const lines: string[] = [];
  for (let row = highest; row >= 0; row -= 1) {
    const label = timeText(HEAT_LEAST_US * 2 ** row).padStart(7);
    const signs = shown.map((column) => heatSign(column[row] ?? 0, most, isColored)).join("");
    lines.push(`${paint({ text: `<${label}`, color: DIM }, isColored)} ${signs}`.trimEnd());
  }
  return lines;
}

function heatColumn({ counts }: LatencyGroup): readonly number[] {
  const rows = Array.from({ length: HEAT_ROWS_MAX }, () => 0);
  counts.forEach((count, bucket) => {
    if (count <= 0) return;
    const doubling = Math.ceil(Math.log2(Math.max(1, bucketLowUs(bucket) / HEAT_LEAST_US)));
    const row = Math.min(HEAT_ROWS_MAX - 1, doubling);
    rows[row] = (rows[row] ?? 0) + count;
  });
  return rows;
}

/** Logarithmic, so that one slow request among thousands is seen. */
function heatSign(count: number, most: number, isColored: boolean): string {
  if (count <= 0) return " ";
  const share = Math.log1p(count) / Math.log1p(most);
  const step = Math.min(HEAT_SIGNS.length - 1, Math.max(1, Math.round(share * 9)));
  const sign = HEAT_SIGNS[step] ?? "@";
  return paint({ text: sign, color: step >= 7 ? RED : step >= 4 ? YELLOW : null }, isColored);
}

/** What the page says, for programs. */
export function topJson(interval: Interval): Readonly<Record<string, unknown>> {
  const { status, report } = interval.now;
  const before = interval.before?.report ?? null;
  const routes = groupLatencies(report, ({ name }) => name, before);
  const byWorker = groupLatencies(
    report,
    (_, worker) => (worker === null ? null : String(worker.id)),
    before,
  );
  return {
    atMs: report.atMs,
    seconds: secondsOf(interval),
    service: status.name,
    state: status.state,
    all: groupJson(allLatencies(report, before)),
    routes: Object.fromEntries([...routes].map(([name, group]) => [name, groupJson(group)])),
    workers: report.workers.map(({ series: _, ...worker }) => {
      const group = byWorker.get(String(worker.id));
      const { busy, gc } = changes(interval, { ...worker, series: [] });
      const latency = group === undefined ? null : groupJson(group);
      return Object.assign(worker, { busyPercent: busy, gcPercent: gc, latency });
    }),
  };
}

function rateText(rate: number): string {
  return rate >= 100 ? String(Math.round(rate)) : rate.toFixed(1);
}

function percent(value: number): string {
  return `${Math.round(value)}%`;
}

/** At most so many characters of a line; its colours take no room. */
function fitted(line: string, columns: number): string {
  let room = columns;
  let result = "";
  // eslint-disable-next-line no-control-regex -- colours are what it is about
  for (const part of line.split(/(\u001B\[[\d;]*m)/)) {
    if (part.startsWith("\u001B[")) result += part;
    else {
      result += part.slice(0, room);
      room -= Math.min(room, part.length);
    }
  }
  return result;
}
