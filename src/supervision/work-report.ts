/** All work in flight of a service, as `GET /v1/work` says it and `holdfast work` shows it. */
import type { GateView, KindView } from "../ledger/mod.ts";

/** One piece of work in flight. */
export interface WorkItem {
  /** Index of the worker. */
  readonly worker: number;
  /** Within its worker; negative: a request that only its connection accounts for. */
  readonly id: number;
  readonly kind: string;
  readonly name: string;
  /**
   * `running`, `queued`, `connecting`, `sent`, `head`, `body` or `stalled`; of a pipe that stands
   * still why it does (`STUCK_STATES`); of requests also `executing`, `peer-window-closed` (the
   * client reads nothing) and `peer-not-acking`.
   */
  readonly state: string;
  readonly ageMs: number;
  /** Since it last made progress. */
  readonly idleMs: number;
  /** Until its deadline, negative behind it; null: it has none. */
  readonly leftMs: number | null;
  /** Moved so far. */
  readonly bytes: number;
  /** Held in memory now; of requests, what the kernel could not send yet. */
  readonly buffered: number;
  /** The work that it is part of; null: of nothing else that is in flight. */
  readonly parent: number | null;
}

export interface WorkReportWorker {
  readonly index: number;
  readonly id: number;
  readonly pid: number;
  readonly kinds: readonly KindView[];
  readonly gates: readonly GateView[];
}

export interface WorkReport {
  /** Wall clock, in milliseconds. */
  readonly atMs: number;
  readonly workers: readonly WorkReportWorker[];
  /** Oldest first. */
  readonly items: readonly WorkItem[];
  /** In flight, and not among the items: there were too many. */
  readonly unlisted: number;
}
