/**
 * `holdfast latency`: how long requests took, by outcome, route or worker; since the start of the
 * service, or in the time from now on.
 */
import { setTimeout as delay } from "node:timers/promises";
import { EXIT_CODES, HoldfastError, formatDuration, parseDuration } from "../base/mod.ts";
import { wantsColor } from "../base/mod.ts";
import { allLatencies, groupLatencies, hdrLog, statusText } from "../supervision/mod.ts";
import type { LatencyGroup, LatencyReport } from "../supervision/mod.ts";
import {
  GROUP_COLUMNS,
  groupCells,
  groupJson,
  nameCell,
  plain,
  readLatency,
} from "./latency-view.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import { printable, renderTable } from "./table.ts";
import type { Parsed, World } from "./verb.ts";

/** Longer than this is for a monitoring system: `--admin`. */
const FOR_MS_MAX = 3_600_000;

/** What the rows are: title, and the group of each series. */
interface Grouping {
  readonly title: string;
  readonly groups: ReadonlyMap<string, LatencyGroup>;
}

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const forMs = forTime(parsed);
  if (parsed.flags["json"] === true && parsed.flags["hdr"] === true) {
    throw usage({ name: "latency" }, "--json and --hdr are two forms; choose one");
  }
  const service = await chosenService(parsed, world);
  let before: LatencyReport | null = null;
  if (forMs > 0) {
    before = await readLatency(service);
    await delay(forMs);
  }
  const report = await readLatency(service);
  const grouping = grouped(parsed, report, before);
  const startMs = before?.atMs ?? Date.parse(report.startedAt);
  const write = (lines: readonly string[]): void => {
    world.stdout.write(`${lines.join("\n")}\n`);
  };
  if (parsed.flags["hdr"] === true) write(hdrLog(grouping.groups, startMs, report.atMs));
  else if (parsed.flags["json"] === true) write([json(service.name, grouping, report, before)]);
  else {
    const span = formatDuration(report.atMs - startMs);
    const all = allLatencies(report, before);
    const count = `${all.count} ${all.count === 1 ? "request" : "requests"}`;
    const since = before === null ? `since the start, ${span}` : `in ${span}`;
    write([`${printable(service.name)}  ${count} ${since}`, ""]);
    write(table(grouping, all, wantsColor(world.stdout, world.environment)));
  }
  return EXIT_CODES.ok;
}

function forTime(parsed: Parsed): number {
  const text = parsed.flags["for"];
  if (typeof text !== "string") return 0;
  try {
    const ms = parseDuration(text);
    if (ms > 0 && ms <= FOR_MS_MAX) return ms;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
  }
  throw usage({ name: "latency" }, `--for is ${JSON.stringify(text)}, must be 1ms to 1h`);
}

function grouped(parsed: Parsed, report: LatencyReport, before: LatencyReport | null): Grouping {
  const { route } = parsed.flags;
  const wanted = Array.isArray(route) ? route.map(String) : [];
  const isWanted = (name: string): boolean =>
    wanted.length === 0 || wanted.some((text) => name.includes(text));
  if (parsed.flags["worker"] === true) {
    const groups = groupLatencies(
      report,
      ({ name }, worker) => {
        if (!isWanted(name)) return null;
        return worker === null ? "gone" : String(worker.index);
      },
      before,
    );
    return { title: "WORKER", groups };
  }
  if (route !== undefined) {
    const groups = groupLatencies(report, ({ name }) => (isWanted(name) ? name : null), before);
    return { title: "ROUTE", groups: sorted(groups) };
  }
  const groups = groupLatencies(report, ({ status }) => statusText(status), before);
  return { title: "STATUS", groups: new Map([...groups].toSorted(([a], [b]) => (a < b ? -1 : 1))) };
}

/** Where most of the time goes comes first. */
function sorted(groups: ReadonlyMap<string, LatencyGroup>): ReadonlyMap<string, LatencyGroup> {
  return new Map([...groups].toSorted(([, a], [, b]) => b.sumUs - a.sumUs));
}

function table(
  { title, groups }: Grouping,
  all: LatencyGroup,
  isColored: boolean,
): readonly string[] {
  if (all.count === 0) return ["no request was answered"];
  const rows = [...groups].map(([name, group]) => [nameCell(name)].concat(groupCells(group)));
  if (rows.length !== 1) rows.push([plain("all")].concat(groupCells(all)));
  return renderTable([{ title, align: "left" }, ...GROUP_COLUMNS], rows, isColored);
}

function json(
  name: string,
  { title, groups }: Grouping,
  report: LatencyReport,
  before: LatencyReport | null,
): string {
  const rows = [...groups].map(([key, group]) => {
    return Object.assign({ [title.toLowerCase()]: key }, groupJson(group));
  });
  const sinceMs = before?.atMs ?? Date.parse(report.startedAt);
  const all = groupJson(allLatencies(report, before));
  const times = { atMs: report.atMs, sinceMs };
  return JSON.stringify({ service: name, ...times, all, by: title.toLowerCase(), rows }, null, 2);
}
