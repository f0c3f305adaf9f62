/** Aggregations as text: tables with bars, and distributions as DTrace draws them. */
import { oneLine } from "../base/mod.ts";
import type { AggregationSnapshot } from "./aggregation.ts";
import { boundsOf } from "./buckets.ts";
import { formatNumber } from "./format.ts";
import type { MergedTrace } from "./merge.ts";
import { Uniq } from "./uniq.ts";

export interface RenderOptions {
  readonly columns: number;
  /** Rows of one aggregation; the rest is counted. */
  readonly rowsMax: number;
}

const BAR_COLUMNS = 40;
/** Eighths of a block (Unicode 1.1, Block Elements). */
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** Lines; tables are as wide as asked for, sentences as long as they are. */
export function renderTrace(trace: MergedTrace, options: RenderOptions): readonly string[] {
  const lines = trace.aggregations.flatMap((each) => [...renderAggregation(each, options), ""]);
  return [...lines, ...renderProblems(trace)];
}

/** What a reader must know before he trusts the figures. */
export function renderProblems(trace: MergedTrace): readonly string[] {
  const lines: string[] = [];
  for (const { name, drops, skipped } of trace.aggregations) {
    if (drops > 0) lines.push(`@${name}: ${drops} values dropped: too many keys`);
    if (skipped > 0) lines.push(`@${name}: ${skipped} values skipped: they were no numbers`);
  }
  if (trace.drops > 0) lines.push(`${trace.drops} lines or variables dropped`);
  if (trace.errors > 0) lines.push(`${trace.errors} errors, the last: ${trace.lastError ?? ""}`);
  for (const { probe, off } of trace.probes)
    if (off !== null) lines.push(`${probe} is off: ${off}`);
  return lines.map(oneLine);
}

export function renderAggregation(
  aggregation: AggregationSnapshot,
  options: RenderOptions,
): readonly string[] {
  const { name, kind, rows } = aggregation;
  const title = `@${name}`;
  if (rows.length === 0) return [`${title}  (nothing yet)`];
  const shown = rows.slice(0, options.rowsMax);
  const rest = rows.length - shown.length;
  const more = rest > 0 ? [`  and ${rest} more`] : [];
  const isDistribution = kind.endsWith("quantize");
  const body = isDistribution
    ? shown.flatMap(([keys, data]) => distribution(aggregation, keys, data))
    : scalars(aggregation, shown, options.columns);
  return [isDistribution ? title : `${title} ${kind}`, ...body, ...more];
}

/** The buckets of a row of a distribution: where each begins and ends, and what is in it. */
export function bucketsOf(
  { kind, params }: AggregationSnapshot,
  data: readonly number[],
): readonly { readonly from: number | null; readonly to: number | null; readonly count: number }[] {
  return Array.from({ length: data.length >> 1 }, (_, index) => {
    const { from, to } = boundsOf(kind, data[2 * index] ?? 0, params);
    const count = data[2 * index + 1] ?? 0;
    // JSON has no infinity
    return {
      from: Number.isFinite(from) ? from : null,
      to: Number.isFinite(to) ? to : null,
      count,
    };
  });
}

/** What a row of anything but a distribution says, as one number. */
export function scalarOf(kind: AggregationSnapshot["kind"], data: readonly number[]): number {
  const [first = Number.NaN, count = 0] = data;
  if (kind === "avg") return count === 0 ? Number.NaN : first / count;
  if (kind !== "uniq") return first;
  const uniq = new Uniq();
  uniq.merge(data);
  return uniq.estimate();
}

function scalars(
  { kind, unit }: AggregationSnapshot,
  rows: AggregationSnapshot["rows"],
  columns: number,
): readonly string[] {
  const values = rows.map(([, data]) => scalarOf(kind, data));
  const largest = Math.max(0, ...values.filter((each) => Number.isFinite(each)));
  const texts = values.map((each) => formatNumber(each, kind === "count" ? null : unit));
  const width = Math.max(...texts.map((each) => each.length));
  // a key is a stranger's text, and a stack has lines
  const keys = rows.map(([each]) => each.join("  ").split("\n").map(oneLine).join("\n"));
  const isTall = keys.some((each) => each.includes("\n"));
  const keyWidth = Math.min(
    Math.max(...keys.map((each) => Math.max(...each.split("\n").map((line) => line.length)))),
    Math.max(10, columns - width - 16),
  );
  return keys.flatMap((key, index) => {
    const value = texts[index] ?? "";
    const [first = "", ...rest] = key.split("\n");
    const barMax = isTall ? 0 : Math.min(BAR_COLUMNS, columns - keyWidth - width - 6);
    const bar = key === "" ? "" : drawBar(values[index] ?? 0, largest, barMax);
    const head = `  ${first.slice(0, keyWidth).padEnd(keyWidth)}  ${value.padStart(width)}  ${bar}`;
    return [head.trimEnd()].concat(rest.map((line) => `  ${line}`));
  });
}

function drawBar(value: number, largest: number, columns: number): string {
  if (!(value > 0) || !(largest > 0) || columns <= 0) return "";
  const eighths = Math.max(1, Math.round((value / largest) * columns * 8));
  return "█".repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? "");
}

function distribution(
  { kind, params, unit }: AggregationSnapshot,
  keys: readonly string[],
  data: readonly number[],
): readonly string[] {
  const counts = new Map<number, number>();
  for (let at = 0; at + 1 < data.length; at += 2) counts.set(data[at] ?? 0, data[at + 1] ?? 0);
  const buckets = [...counts.keys()].toSorted((left, right) => left - right);
  const total = [...counts.values()].reduce((sum, each) => sum + each, 0);
  const largest = Math.max(0, ...counts.values());
  const filled = fillGaps(buckets).map((bucket) => {
    const { from, to } = boundsOf(kind, bucket, params);
    const label = from === -Infinity ? `< ${formatNumber(to, unit)}` : formatNumber(from, unit);
    return { label, count: counts.get(bucket) ?? 0 };
  });
  const width = Math.max(8, ...filled.map(({ label }) => label.length));
  const title = keys.map(oneLine).join("  ");
  const heading = `${"from".padStart(width)}  ${"".padEnd(BAR_COLUMNS)}  count`;
  const rows = filled.map(({ label, count }) => {
    const share = total === 0 ? 0 : (100 * count) / total;
    const bar = drawBar(count, largest, BAR_COLUMNS).padEnd(BAR_COLUMNS);
    return `${label.padStart(width)} |${bar}| ${count}  ${share.toFixed(share < 1 ? 1 : 0)}%`;
  });
  return [
    ...(title === "" ? [] : [`  ${title}`]),
    `  ${heading}`,
    ...rows.map((row) => `  ${row}`),
  ];
}

/** Empty buckets between others are drawn, unless there are very many. */
const GAP_MAX = 12;

function fillGaps(buckets: readonly number[]): readonly number[] {
  return buckets.flatMap((bucket, index) => {
    const next = buckets[index + 1];
    const gap = next === undefined ? 0 : next - bucket;
    if (gap <= 1 || gap > GAP_MAX || (next !== undefined && bucket <= 0 !== next <= 0)) {
      return [bucket];
    }
    return Array.from({ length: gap }, (_, offset) => bucket + offset);
  });
}
