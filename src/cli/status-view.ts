/**
 * The status as a page for people.
 *
 * ```
 *   hello  running  up 3m12s  generation 2  2 workers
 *   ...
 *   WORKER    PID  STATE  CONNECTIONS  IN FLIGHT  OLDEST          REQUESTS  ...
 *        0   4713  ready           12          1  GET /slow 1.2s      1024
 * ```
 */
import { formatDuration, formatSize } from "../base/mod.ts";
import type { Status, StatusWorker } from "../supervision/mod.ts";
import { paint, printable, renderTable, shortened } from "./table.ts";
import type { Cell, Column } from "./table.ts";

const GREEN = 32;
const YELLOW = 33;
const RED = 31;
const BOLD = 1;

const TARGET_LENGTH_MAX = 32;
const EXIT_LENGTH_MAX = 40;
/** A lag that a person notices in an answer, and one that is a fault. */
const LAG_SLOW_MS = 100;
const LAG_BAD_MS = 1000;

const COLUMNS: readonly Column[] = [
  { title: "WORKER", align: "right" },
  { title: "PID", align: "right" },
  { title: "STATE", align: "left" },
  { title: "CONNECTIONS", align: "right" },
  { title: "IN FLIGHT", align: "right" },
  { title: "OLDEST", align: "left" },
  { title: "REQUESTS", align: "right" },
  { title: "LAG", align: "right" },
  { title: "CPU", align: "right" },
  { title: "RSS", align: "right" },
  { title: "HEAP LIMIT", align: "right" },
  { title: "RESTARTS", align: "right" },
  { title: "LAST EXIT", align: "left" },
];

/** The lines of the page. */
export function renderStatus(status: Status, isColored: boolean): readonly string[] {
  return [
    ...head(status, isColored),
    "",
    ...renderTable(COLUMNS, [...status.workers.map(workerRow), ...sumRow(status)], isColored),
    "",
    ...totals(status),
  ];
}

function head(status: Status, isColored: boolean): readonly string[] {
  const { name, state, workers, generation, listeners } = status;
  const title = [
    paint(colored(printable(name), BOLD), isColored),
    paint(colored(state, stateColor(state)), isColored),
    `up ${formatDuration(status.uptimeMs)}`,
    `generation ${generation}`,
    `${workers.length} ${workers.length === 1 ? "worker" : "workers"}`,
  ];
  const addresses = listeners.map(({ kind, address }) => {
    return `${kind === "tcp" ? "" : `${kind} `}${printable(address)}`;
  });
  const restarts = status.reactorRestarts === 0 ? "" : `, restarted ${status.reactorRestarts}x`;
  const mode = status.mode === "portable" ? "portable mode" : `accepts in the ${acceptor(status)}`;
  return [
    title.join("  "),
    `${printable(status.entry)} on ${addresses.join(", ") || "nothing yet"}`,
    `holdfast ${status.version}, keeper ${status.pid}, ` +
      `reactor ${status.reactorPid}${restarts}, ${mode}`,
    ...status.notes.map((note) => paint(colored(`! ${printable(note)}`, YELLOW), isColored)),
  ];
}

function acceptor(status: Status): string {
  return status.accept === "kernel" ? "workers" : "reactor";
}

function workerRow(worker: StatusWorker): readonly Cell[] {
  const { state, oldest, loopLagMs } = worker;
  const isThere = worker.pid !== 0;
  return [
    plain(String(worker.index)),
    plain(isThere ? String(worker.pid) : "-"),
    colored(state, stateColor(state)),
    plain(String(worker.connections)),
    plain(String(worker.inFlight)),
    oldest === null ? plain("") : colored(oldestText(oldest), ageColor(oldest.ageMs)),
    plain(String(worker.requests)),
    isThere ? colored(formatDuration(loopLagMs), lagColor(loopLagMs)) : plain("-"),
    plain(isThere ? `${Math.round(worker.cpuPercent)}%` : "-"),
    plain(isThere ? formatSize(worker.rssBytes) : "-"),
    plain(worker.heapLimitBytes > 0 ? formatSize(worker.heapLimitBytes) : "-"),
    colored(String(worker.restarts), worker.restarts > 0 ? YELLOW : null),
    plain(shortened(printable(worker.lastExit ?? ""), EXIT_LENGTH_MAX)),
  ];
}

/** Sums below the columns; one worker needs none. */
function sumRow(status: Status): readonly (readonly Cell[])[] {
  const { workers } = status;
  if (workers.length < 2) return [];
  const sum = (read: (worker: StatusWorker) => number): Cell => {
    return plain(String(workers.reduce((total, worker) => total + read(worker), 0)));
  };
  const cpu = workers.reduce((total, worker) => total + worker.cpuPercent, 0);
  const rssBytes = workers.reduce((total, worker) => total + worker.rssBytes, 0);
  return [
    [
      plain("total"),
      plain(""),
      plain(""),
      sum((worker) => worker.connections),
      sum((worker) => worker.inFlight),
      plain(""),
      sum((worker) => worker.requests),
      plain(""),
      plain(`${Math.round(cpu)}%`),
      plain(formatSize(rssBytes)),
      plain(""),
      sum((worker) => worker.restarts),
    ],
  ];
}

function totals(status: Status): readonly string[] {
  const { totals: counted, limits } = status;
  const death =
    counted.requestsOfDeath === 0 ? "" : `, requests of death ${counted.requestsOfDeath}`;
  const full = counted.journalFull === 0 ? "" : `, journal full ${counted.journalFull}`;
  return [
    `since start  accepted ${counted.accepted}, requests ${counted.requests}, ` +
      `restarts ${counted.restarts}`,
    `recovery     moved ${counted.moved}, replayed ${counted.replayed}, ` +
      `refused ${counted.refused}, aborted ${counted.aborted}${death}${full}`,
    `limits       connections ${limits.connections} of ${limits.connectionsMax}, ` +
      `descriptors ${limits.descriptorsMax}`,
  ];
}

/** `GET /orders/17 1.2s`; the path is a client's. */
function oldestText(oldest: { method: string; path: string; ageMs: number }): string {
  const target = shortened(printable(oldest.path), TARGET_LENGTH_MAX);
  return `${printable(oldest.method)} ${target} ${formatDuration(oldest.ageMs)}`;
}

function stateColor(state: Status["state"] | StatusWorker["state"]): number | null {
  if (state === "ready" || state === "running") return GREEN;
  return state === "failed" || state === "stalled" || state === "degraded" ? RED : YELLOW;
}

function ageColor(ageMs: number): number | null {
  return ageMs >= LAG_BAD_MS ? YELLOW : null;
}

function lagColor(lagMs: number): number | null {
  if (lagMs >= LAG_BAD_MS) return RED;
  return lagMs >= LAG_SLOW_MS ? YELLOW : null;
}

function plain(text: string): Cell {
  return { text, color: null };
}

function colored(text: string, color: number | null): Cell {
  return { text, color };
}
