/**
 * What `holdfast status` shows: facts from the supervisor, the ledger and /proc, put together here
 * and nowhere else. Nothing is asked of a worker, so the answer comes while all of them spin.
 */
import type { ListenerSpec, WorkerIdentity } from "../base/mod.ts";
import type { ProcessUsage } from "../os/mod.ts";
import type { ServiceState, WorkerState, WorkerView } from "./supervisor-types.ts";

/** The request that has been in flight longest. */
export interface OldestRequest {
  readonly method: string;
  readonly path: string;
  readonly ageMs: number;
}

/** What the ledger says about a worker. */
export interface WorkerFigures {
  readonly connections: number;
  readonly inFlight: number;
  readonly oldest: OldestRequest | null;
  readonly requests: number;
  readonly loopLagMs: number;
  readonly heapLimitBytes: number;
}

export interface StatusListener {
  readonly address: string;
  readonly kind: ListenerSpec["kind"];
}

export interface StatusWorker extends WorkerFigures {
  readonly index: number;
  readonly id: number;
  /** 0: there is no process now. */
  readonly pid: number;
  readonly generation: number;
  readonly state: WorkerState;
  readonly restarts: number;
  readonly lastExit: string | null;
  readonly cpuPercent: number;
  readonly rssBytes: number;
}

/** Counted since the service started. */
export interface StatusTotals {
  readonly accepted: number;
  readonly moved: number;
  readonly replayed: number;
  readonly refused: number;
  readonly aborted: number;
  readonly restarts: number;
  readonly requests: number;
  readonly requestsOfDeath: number;
  readonly journalFull: number;
}

export interface StatusLimits {
  readonly connections: number;
  readonly connectionsMax: number;
  readonly descriptorsMax: number;
}

/** What is known of the service without looking at its workers. */
export interface StatusService {
  readonly name: string;
  readonly version: string;
  /** Of the keeper. */
  readonly pid: number;
  readonly reactorPid: number;
  readonly reactorRestarts: number;
  readonly mode: "full" | "portable";
  readonly accept: "reactor" | "kernel";
  /** ISO 8601. */
  readonly startedAt: string;
  readonly entry: string;
}

export interface Status extends StatusService {
  readonly uptimeMs: number;
  readonly generation: number;
  readonly state: ServiceState | "accept-paused";
  /** Sentences for an operator. */
  readonly notes: readonly string[];
  readonly listeners: readonly StatusListener[];
  readonly workers: readonly StatusWorker[];
  readonly totals: StatusTotals;
  readonly limits: StatusLimits;
}

/** The supervisor's part of the status. */
export interface SupervisedWorkers {
  readonly state: ServiceState;
  readonly generation: number;
  readonly notes: readonly string[];
  workers(): readonly WorkerView[];
}

export interface StatusSources {
  readonly service: StatusService;
  readonly supervisor: SupervisedWorkers;
  /** Wall clock, in milliseconds. */
  readonly nowMs: number;
  /** Why no connection is accepted at the moment; null: they are. */
  readonly acceptPaused: string | null;
  readonly notes: readonly string[];
  readonly listeners: readonly StatusListener[];
  readonly totals: StatusTotals;
  readonly limits: StatusLimits;
  /** By worker id; null when the ledger has no row of it. */
  figures(worker: WorkerIdentity): WorkerFigures | null;
  /** By pid; null when it was not measured. */
  usage(pid: number): ProcessUsage | null;
}

const NO_FIGURES: WorkerFigures = {
  connections: 0,
  inFlight: 0,
  oldest: null,
  requests: 0,
  loopLagMs: 0,
  heapLimitBytes: 0,
};

/** The status as of now. */
export function assembleStatus(sources: StatusSources): Status {
  const { service, supervisor, acceptPaused } = sources;
  const isPaused = acceptPaused !== null && supervisor.state !== "stopping";
  return {
    ...service,
    uptimeMs: Math.max(0, sources.nowMs - Date.parse(service.startedAt)),
    generation: supervisor.generation,
    state: isPaused ? "accept-paused" : supervisor.state,
    notes: [...(isPaused ? [acceptPaused] : []), ...supervisor.notes, ...sources.notes],
    listeners: sources.listeners,
    workers: supervisor.workers().map((worker) => statusWorker(worker, sources)),
    totals: sources.totals,
    limits: sources.limits,
  };
}

function statusWorker(worker: WorkerView, sources: StatusSources): StatusWorker {
  const { index, id, pid, generation, state, restarts, lastExit } = worker;
  const figures = (id === 0 ? null : sources.figures(worker)) ?? NO_FIGURES;
  const usage = pid === 0 ? null : sources.usage(pid);
  return {
    index,
    id,
    pid,
    generation,
    state,
    ...figures,
    restarts,
    lastExit,
    cpuPercent: usage?.cpuPercent ?? 0,
    rssBytes: usage?.rssBytes ?? 0,
  };
}

/** An address as a person writes it: `0.0.0.0:8080`, `[::1]:8080`, `/run/app.sock`. */
export function addressText(host: string, port: number, kind: ListenerSpec["kind"]): string {
  if (kind === "unix") return host;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
