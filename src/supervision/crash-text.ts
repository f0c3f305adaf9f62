/** A crash report as a page for people: the file `<id>.txt`, and `holdfast crashes show`. */
import { fileOfFrameLine, foldFrames, formatDuration, formatSize, oneLine } from "../base/mod.ts";
import { isUncaught } from "./crash-report.ts";
import type { CrashReport, CrashRequest, CrashSample } from "./crash-report.ts";

/** Samples that are shown; the file in JSON has all. */
const SAMPLES_SHOWN = 20;

/** The lines of the page. Nothing that strangers wrote can leave its line. */
export function crashText(report: CrashReport): readonly string[] {
  const { worker, service, exit } = report;
  const ready =
    worker.readyForMs > 0 ? `ready for ${formatDuration(worker.readyForMs)}` : "never ready";
  return [
    `worker ${worker.index} of ${oneLine(service.name)} ended: ${exit.text}`,
    "",
    `report      ${report.id}`,
    `time        ${report.time}`,
    `process     pid ${worker.pid}, generation ${worker.generation}, ${ready}, ` +
      `was ${worker.state}, restarts before ${worker.restarts}`,
    `service     ${oneLine(service.entry)}, node ${service.node}, holdfast ${service.version}` +
      (service.mode === "portable" ? ", portable mode" : ""),
    ...section(
      isUncaught(report.output) ? "uncaught error" : "last error that it printed",
      report.error === null ? [] : report.error.split("\n"),
    ),
    ...section("stack when it stalled", folded(report.stack)),
    ...section("core", core(report)),
    ...section("heap snapshots, for Chrome DevTools", report.heapSnapshots ?? []),
    ...section("requests in flight", requests(report)),
    ...section("other work in flight", work(report)),
    ...section("connections", connections(report)),
    ...section("before the end", history(report.history, report.heapLimitBytes)),
    ...section("last output", report.output.trimEnd().split("\n")),
    ...section(
      "log",
      report.log.map(({ time, source, line }) => `${time.slice(11, 23)} ${source} | ${line}`),
    ),
  ];
}

function section(title: string, lines: readonly string[]): readonly string[] {
  if (lines.every((line) => line === "")) return [];
  return ["", title, ...lines.map((line) => `  ${oneLine(line)}`.trimEnd())];
}

/** The file in JSON has all frames. */
function folded(stack: readonly string[]): readonly string[] {
  return foldFrames(stack, fileOfFrameLine).map((each) => {
    return "frame" in each ? each.frame : each.folded;
  });
}

function core({ core: kept }: CrashReport): readonly string[] {
  if (kept === null || kept === undefined) return []; // undefined: an older version wrote it
  if ("none" in kept) return [`none: ${kept.none}`];
  return [kept.path, `holdfast autopsy ${kept.path} stacks`];
}

function requests({ requests: shown, requestsMore }: CrashReport): readonly string[] {
  const lines = shown.flatMap((request) => requestLines(request));
  return requestsMore > 0 ? [...lines, `and ${requestsMore} more`] : lines;
}

function work(report: CrashReport): readonly string[] {
  const { work: items } = report as Partial<CrashReport>; // an older version may have written it
  return (items ?? []).map(({ kind, name, state, ageMs, bytes }) => {
    const moved = bytes > 0 ? `, ${formatSize(bytes)} moved` : "";
    return `${kind} ${name}  ${formatDuration(Math.round(ageMs))} old, ${state}${moved}`;
  });
}

function requestLines(request: CrashRequest): readonly string[] {
  const { method, path, route, ageMs, outcome, isExecuting, traceId, head } = request;
  const mark = isExecuting ? ", was being executed" : "";
  const isOwn = route === undefined || route === `${method} ${path}`;
  const routed = isOwn ? "" : `, route ${route}`;
  const trace = traceId === null ? "" : `, trace ${traceId}`;
  const age = `${formatDuration(ageMs)} old`;
  const title = `${method} ${path}  ${age}${mark}${routed}${trace}: ${outcome}`;
  return [title, ...head.slice(1).map((line) => `    ${line}`)];
}

function connections({ connections: held, recovery }: CrashReport): readonly string[] {
  if (held === null) return [];
  const counts = Object.entries(recovery ?? {}).map(([name, count]) => `${name} ${count}`);
  return [
    `busy ${held.busy}, idle ${held.idle}, opaque ${held.opaque}`,
    ...(counts.length === 0 ? [] : [`recovery: ${counts.join(", ")}`]),
  ];
}

function history(samples: readonly CrashSample[], heapLimitBytes: number): readonly string[] {
  if (samples.length === 0) return [];
  const limit = heapLimitBytes > 0 ? `heap limit ${formatSize(heapLimitBytes)}` : "";
  const titles = ["AGO", "LAG", "CPU", "HEAP", "OUTSIDE", "RSS", "GC", "IN FLIGHT", "REQUESTS"];
  const rows = samples
    .slice(-SAMPLES_SHOWN)
    .map((sample) => [
      formatDuration(sample.agoMs),
      formatDuration(sample.loopLagMs),
      `${Math.round(sample.cpuPercent)}%`,
      formatSize(sample.heapUsedBytes),
      formatSize(sample.externalBytes),
      formatSize(sample.rssBytes),
      formatDuration(Math.round(sample.gcMs)),
      String(sample.inFlight),
      String(sample.requests),
    ]);
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells.map((cell, column) => cell.padStart(widths[column] ?? 0)).join("  ");
  return [limit, line(titles), ...rows.map(line)].filter((text) => text !== "");
}
