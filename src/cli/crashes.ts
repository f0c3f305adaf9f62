/**
 * `holdfast crashes`: the reports of workers that have crashed. They are read from their files, so
 * that they can be read when the service has ended as well.
 *
 * ```
 *   holdfast crashes             a line for each, of every service
 *   holdfast crashes show [id]   the newest one, or the one whose id begins so, as a page
 * ```
 */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { EXIT_CODES, HoldfastError, NAME_PATTERN, runtimeDirectory } from "../base/mod.ts";
import { wantsColor } from "../base/mod.ts";
import { crashDirectory, crashText, listCrashes, readCrash } from "../supervision/mod.ts";
import type { CrashReport } from "../supervision/mod.ts";
import { usage } from "./parse.ts";
import { printable, renderTable, shortened } from "./table.ts";
import type { Cell, Column } from "./table.ts";
import type { Parsed, World } from "./verb.ts";

const ERROR_LENGTH_MAX = 60;
const SUFFIX = ".crashes";

const COLUMNS: readonly Column[] = [
  { title: "ID", align: "left" },
  { title: "SERVICE", align: "left" },
  { title: "WORKER", align: "right" },
  { title: "END", align: "left" },
  { title: "IN FLIGHT", align: "right" },
  { title: "ERROR", align: "left" },
];

interface Found {
  readonly service: string;
  readonly id: string;
  readonly report: CrashReport;
}

export function execute(parsed: Parsed, world: World): Promise<number> {
  const [action, id] = parsed.positionals;
  if (action !== undefined && action !== "show") {
    throw usage({ name: "crashes" }, `${JSON.stringify(action)} is no part of it; there is show`);
  }
  const found = crashes(parsed, world);
  const isJson = parsed.flags["json"] === true;
  if (action === "show") {
    const report = withCore(chosen(found, id));
    const lines = isJson ? [JSON.stringify(report, null, 2)] : crashText(report);
    world.stdout.write(`${lines.join("\n")}\n`);
    return Promise.resolve(EXIT_CODES.ok);
  }
  const isColored = wantsColor(world.stdout, world.environment);
  world.stdout.write(isJson ? json(found) : table(found, isColored));
  return Promise.resolve(EXIT_CODES.ok);
}

/** All reports of the service that was named, or of every one; oldest first. */
function crashes(parsed: Parsed, world: World): readonly Found[] {
  const runtimeDir = runtimeDirectory(world.environment);
  const name = parsed.flags["name"];
  if (typeof name === "string" && !NAME_PATTERN.test(name)) {
    throw usage({ name: "crashes" }, `--name ${JSON.stringify(name)} is no name of a service`);
  }
  const services = typeof name === "string" ? [name] : servicesWithCrashes(runtimeDir);
  const found = services.flatMap((service) => {
    const directory = crashDirectory(runtimeDir, service);
    return listCrashes(directory).flatMap((id): readonly Found[] => {
      const report = readCrash(directory, id);
      return report === null ? [] : [{ service, id, report }];
    });
  });
  return found.toSorted((a, b) => (a.report.time < b.report.time ? -1 : 1));
}

function servicesWithCrashes(runtimeDir: string): readonly string[] {
  if (!existsSync(runtimeDir)) return [];
  return readdirSync(runtimeDir)
    .filter((file) => file.endsWith(SUFFIX))
    .map((file) => path.basename(file, SUFFIX))
    .filter((service) => NAME_PATTERN.test(service));
}

function chosen(found: readonly Found[], id: string | undefined): CrashReport {
  const matching = found.filter((each) => each.id.startsWith(id ?? ""));
  const newest = matching.at(-1);
  if (newest !== undefined && (id === undefined || matching.length === 1)) return newest.report;
  const ids = (matching.length > 1 ? matching : found).map((each) => each.id);
  const there = ids.length === 0 ? "there is none" : `there is ${ids.slice(-5).join(", ")}`;
  const what = id === undefined ? "a crash report" : `the crash report ${JSON.stringify(id)}`;
  const why = matching.length > 1 ? `that fits several: ${ids.join(", ")}` : there;
  throw new HoldfastError("ERR_HOLDFAST_NO_CRASH", `Cannot show ${what}: ${why}.`);
}

/** A core that is not there any more, and is not being compressed, is said to be gone. */
function withCore(report: CrashReport): CrashReport {
  const { core } = report;
  if (core === null || "none" in core) return report;
  const isThere = [core.path, core.path.replace(/\.zst$/, "")].some((file) => existsSync(file));
  if (isThere) return report;
  const why = "it had to make room for newer ones, or did not fit (then the log says so)";
  return { ...report, core: { none: `${core.path} is not there: ${why}` } };
}

/** What the table shows, as one document. */
function json(found: readonly Found[]): string {
  const list = found.map(({ service, id, report }) => {
    const { time, worker, exit, error, requests, requestsMore } = report;
    const inFlight = requests.length + requestsMore;
    return { id, service, time, worker, exit, error, inFlight };
  });
  return `${JSON.stringify(list, null, 2)}\n`;
}

function table(found: readonly Found[], isColored: boolean): string {
  if (found.length === 0) return "no worker has crashed\n";
  const rows = found.map(({ service, id, report }) => {
    const { worker, exit, error, requests, requestsMore } = report;
    const [firstLine = ""] = (error ?? "").split("\n");
    const texts = [
      id,
      service,
      String(worker.index),
      exit.text,
      String(requests.length + requestsMore),
      shortened(printable(firstLine), ERROR_LENGTH_MAX),
    ];
    return texts.map((text): Cell => ({ text, color: null }));
  });
  return `${renderTable(COLUMNS, rows, isColored).join("\n")}\n`;
}
