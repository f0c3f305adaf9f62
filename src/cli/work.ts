/**
 * `holdfast work`: all work in flight, oldest first, across all workers: requests, outbound calls,
 * pipes, what waits before gates, and what the application accounts for itself. Read from the
 * ledger, so that it answers while every worker spins.
 */
import { EXIT_CODES, HoldfastError, formatSize, wantsColor } from "../base/mod.ts";
import { STUCK_STATES } from "../ledger/mod.ts";
import type { WorkItem, WorkReport } from "../supervision/mod.ts";
import { ask } from "./control-client.ts";
import type { Service } from "./control-client.ts";
import { timeText } from "./latency-view.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import { printable, renderTable, shortened } from "./table.ts";
import type { Cell, Column } from "./table.ts";
import type { Parsed, World } from "./verb.ts";

const LIMIT_DEFAULT = 30;
const NAME_LENGTH_MAX = 60;
const STUCK: ReadonlySet<string> = new Set(STUCK_STATES);
/** SGR numbers. */
const RED = 31;
const YELLOW = 33;

const ITEM_COLUMNS: readonly Column[] = [
  { title: "AGE", align: "right" },
  { title: "KIND", align: "left" },
  { title: "WORK", align: "left" },
  { title: "STATE", align: "left" },
  { title: "IDLE", align: "right" },
  { title: "LEFT", align: "right" },
  { title: "MOVED", align: "right" },
  { title: "HELD", align: "right" },
  { title: "WORKER", align: "right" },
];

const KIND_COLUMNS: readonly Column[] = [
  { title: "KIND", align: "left" },
  { title: "IN FLIGHT", align: "right" },
  { title: "OLDEST", align: "right" },
  { title: "DONE", align: "right" },
  { title: "FAILED", align: "right" },
  { title: "REFUSED", align: "right" },
  { title: "EXPIRED", align: "right" },
  { title: "LOST", align: "right" },
  { title: "P50", align: "right" },
  { title: "P99", align: "right" },
];

const GATE_COLUMNS: readonly Column[] = [
  { title: "GATE", align: "left" },
  { title: "WORKER", align: "right" },
  { title: "LIMIT", align: "right" },
  { title: "IN", align: "right" },
  { title: "WAIT", align: "right" },
  { title: "ADMITTED", align: "right" },
  { title: "REFUSED", align: "left" },
];

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const limit = limitOf(parsed);
  const service = await chosenService(parsed, world);
  const whole = await readWork(service);
  const { kind } = parsed.flags;
  const report = typeof kind === "string" ? onlyKind(whole, kind) : whole;
  const isColored = wantsColor(world.stdout, world.environment);
  const text =
    parsed.flags["json"] === true
      ? JSON.stringify({ service: service.name, ...report }, null, 2)
      : page(
          service.name,
          { ...report, items: withParents(whole, report.items) },
          limit,
          isColored,
        ).join("\n");
  world.stdout.write(`${text}\n`);
  if (typeof kind === "string" && kindsSeen(report).length === 0) {
    const seen = kindsSeen(whole).join(", ") || "nothing yet";
    world.stderr.write(`holdfast: no work of kind ${kind} so far; there was ${seen}\n`);
  }
  return EXIT_CODES.ok;
}

function limitOf(parsed: Parsed): number {
  const text = parsed.flags["limit"];
  if (typeof text !== "string") return LIMIT_DEFAULT;
  const limit = Number(text);
  if (Number.isSafeInteger(limit) && limit >= 0) return limit === 0 ? Infinity : limit;
  throw usage({ name: "work" }, `--limit is ${JSON.stringify(text)}; it must be a whole number`);
}

async function readWork(service: Service): Promise<WorkReport> {
  const answer = await ask(service, "GET", "/v1/work");
  const isReport = typeof answer === "object" && answer !== null && "items" in answer;
  // from our own reactor, behind a socket of mode 0600
  if (isReport) return answer as WorkReport;
  throw new HoldfastError(
    "ERR_HOLDFAST_CONTROL",
    `Cannot read the work of ${service.name}: the answer has another shape. Use the version ` +
      `of holdfast that runs the service.`,
  );
}

/** Only what is of that kind. Gates are no kind of work: they are left out. */
export function onlyKind(whole: WorkReport, kind: string): WorkReport {
  const workers = whole.workers.map((worker) => ({
    ...worker,
    kinds: worker.kinds.filter((each) => each.kind === kind),
    gates: [],
  }));
  const kinds = workers.flatMap((worker) => worker.kinds);
  const unlisted = kinds.reduce((sum, each) => sum + each.unlisted, 0);
  return { ...whole, workers, unlisted, items: whole.items.filter((item) => item.kind === kind) };
}

/** Kinds that there has been work of. */
function kindsSeen({ workers }: WorkReport): readonly string[] {
  const seen = workers.flatMap(({ kinds }) => kinds.filter(({ opened }) => opened > 0));
  return [...new Set(seen.map(({ kind }) => kind))].toSorted();
}

/** What is part of something else says so: `GET http://10.0.0.7 < GET /orders/17`. */
function withParents(whole: WorkReport, items: readonly WorkItem[]): readonly WorkItem[] {
  const key = (worker: number, id: number): string => `${worker} ${id}`;
  const names = new Map(whole.items.map(({ worker, id, name }) => [key(worker, id), name]));
  return items.map((item) => {
    const parent = item.parent === null ? undefined : names.get(key(item.worker, item.parent));
    return parent === undefined ? item : { ...item, name: `${item.name} < ${parent}` };
  });
}

/** The report as lines for a person. */
export function page(
  name: string,
  report: WorkReport,
  limit: number,
  isColored: boolean,
): readonly string[] {
  const { items, unlisted, workers } = report;
  const oldest = items[0]?.ageMs ?? 0;
  const title =
    items.length === 0
      ? `${printable(name)}  nothing is in flight`
      : `${printable(name)}  ${items.length + unlisted} in flight, oldest: ${ageText(oldest)}`;
  const shown = items.slice(0, limit);
  const more = items.length - shown.length;
  const list = renderTable(
    ITEM_COLUMNS,
    shown.map((item) => itemCells(item)),
    isColored,
  );
  const rest = [
    ...(more > 0 ? [`... and ${more} more: --limit 0`] : []),
    ...(unlisted > 0 ? [`... and ${unlisted} that are counted, not listed`] : []),
  ];
  const kinds = kindRows(report);
  const gates = workers.flatMap(({ index, gates: found }) =>
    found.map((gate) => ({ index, gate })),
  );
  return [
    title,
    ...(shown.length > 0 ? ["", ...list, ...rest] : []),
    ...(kinds.length > 0 ? ["", ...renderTable(KIND_COLUMNS, kinds, isColored)] : []),
    ...(gates.length > 0
      ? [
          "",
          ...renderTable(
            GATE_COLUMNS,
            gates.map(({ index, gate }) => gateCells(index, gate)),
            isColored,
          ),
        ]
      : []),
  ];
}

function plain(text: string, color: number | null = null): Cell {
  return { text, color };
}

function ageText(ms: number): string {
  return timeText(ms * 1000);
}

function itemCells(item: WorkItem): readonly Cell[] {
  const isLate = item.leftMs !== null && item.leftMs < 0;
  const isStuck = item.state === "stalled" || STUCK.has(item.state);
  const color = isStuck ? RED : item.state === "queued" ? YELLOW : null;
  return [
    plain(ageText(item.ageMs)),
    plain(printable(item.kind)),
    plain(shortened(printable(item.name), NAME_LENGTH_MAX)),
    plain(item.state, color),
    plain(ageText(item.idleMs)),
    plain(item.leftMs === null ? "" : `${Math.round(item.leftMs)}ms`, isLate ? RED : null),
    plain(item.bytes > 0 ? formatSize(item.bytes) : ""),
    plain(item.buffered > 0 ? formatSize(item.buffered) : ""),
    plain(String(item.worker)),
  ];
}

/** A row for each kind, all workers together. */
function kindRows({ workers, items }: WorkReport): readonly (readonly Cell[])[] {
  const used = workers.flatMap(({ kinds }) => kinds.filter(({ opened }) => opened > 0));
  const names = [...new Set(used.map(({ kind }) => kind))];
  return names.map((name) => {
    const views = workers.flatMap(({ kinds }) => kinds.filter(({ kind }) => kind === name));
    const sum = (pick: (view: (typeof views)[number]) => number): number =>
      views.reduce((total, view) => total + pick(view), 0);
    const oldest = items.find(({ kind }) => kind === name)?.ageMs ?? 0;
    const failed = sum(({ outcomes }) => outcomes.error + outcomes.cancelled);
    const lost = sum(({ outcomes }) => outcomes.lost);
    return [
      plain(printable(name)),
      plain(String(sum(({ inFlight }) => inFlight))),
      plain(oldest > 0 ? ageText(oldest) : ""),
      plain(String(sum(({ outcomes }) => outcomes.ok))),
      plain(String(failed)),
      plain(String(sum(({ outcomes }) => outcomes.refused))),
      plain(String(sum(({ outcomes }) => outcomes.expired))),
      plain(String(lost), lost > 0 ? RED : null),
      plain(timeText(Math.max(0, ...views.map(({ p50Us }) => p50Us)))),
      plain(timeText(Math.max(0, ...views.map(({ p99Us }) => p99Us)))),
    ];
  });
}

function gateCells(
  index: number,
  gate: WorkReport["workers"][number]["gates"][number],
): readonly Cell[] {
  const refused = Object.entries(gate.refused).filter(([, count]) => count > 0);
  const text = refused.map(([reason, count]) => `${count} ${reason}`).join(", ");
  const would = gate.observes && text !== "" ? `would have: ${text}` : text;
  return [
    plain(printable(gate.name)),
    plain(String(index)),
    plain(String(Math.floor(gate.limit))),
    plain(String(gate.inFlight)),
    plain(String(gate.queued)),
    plain(String(gate.admitted)),
    plain(would === "" ? "none" : would, would === "" ? null : YELLOW),
  ];
}
