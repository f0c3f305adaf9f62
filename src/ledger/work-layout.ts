/**
 * Where the accounts of work lie in the area of one worker (or of a process without a ledger). All
 * offsets and sizes are in bytes, little-endian, 8-aligned.
 *
 * ```
 *   0     header   rows used, kinds, names, gates
 *         kinds    WORK_KINDS_MAX x (name, counts by outcome, histogram of durations)
 *         names    WORK_NAMES_MAX x (length, text)
 *         gates    WORK_GATES_MAX x (name, limit, queue, counts by reason)
 *         rows     WORK_ROWS_MAX x one piece of work in flight
 * ```
 */
import { HISTOGRAM_BUCKETS } from "../base/mod.ts";

/** Kinds that one process tells apart; the last one is `(other)`. */
export const WORK_KINDS_MAX = 64;
export const WORK_NAMES_MAX = 1024;
export const WORK_GATES_MAX = 64;
/** Pieces of work that are listed; what is begun beyond is counted. */
export const WORK_ROWS_MAX = 8192;

export const WORK_HEADER_BYTES = 4096;
export const WORK_KIND_BYTES: number = 256 + 8 * HISTOGRAM_BUCKETS;
export const WORK_NAME_BYTES = 128;
export const WORK_GATE_BYTES = 256;
export const WORK_ROW_BYTES = 64;

/** Outcomes, in the order of their counts. */
export const WORK_OUTCOMES = ["ok", "error", "refused", "expired", "cancelled", "lost"] as const;
export type WorkOutcome = (typeof WORK_OUTCOMES)[number];

/** Why a pipe stands still. */
export const STUCK_STATES = [
  "peer-window-closed",
  "peer-not-acking",
  "callback-outstanding",
  "source-silent",
  "consumer-paused",
  "orphan",
  "body-unconsumed",
] as const;

/** What a piece of work is at, in the order of their numbers. */
export const WORK_STATES = [
  "running",
  "queued",
  "connecting",
  "sent",
  "head",
  "body",
  "stalled",
  ...STUCK_STATES,
] as const;
export type WorkState = (typeof WORK_STATES)[number];

/** Why a gate lets something not in, in the order of their counts. */
export const REFUSALS = [
  "queue-full",
  "wait",
  "expired",
  "client-gone",
  "aborted",
  "closed",
] as const;
export type Refusal = (typeof REFUSALS)[number];

export const WORK_HEADER = {
  /** One more than the highest row ever used: where a scan may stop. */
  rowsTop: 0,
  kinds: 4,
  names: 8,
  gates: 12,
  /** Of work that had ended, or was never begun: a defect of the program. */
  strayEnds: 16,
} as const;

export const WORK_KIND = {
  /** 0: free. Stored last. */
  nameBytes: 0,
  inFlight: 4,
  /** In flight, and not listed: there was no row. */
  unlisted: 8,
  /** f64 for each of WORK_OUTCOMES. */
  outcomes: 24,
  sumUs: 72,
  maxUs: 80,
  /** Moved, of all that have ended. */
  bytes: 88,
  /** Least and greatest bucket in use, plus 1. */
  lowest: 96,
  highest: 100,
  name: 128,
  counts: 256,
} as const;

export const WORK_GATE = {
  /** 0: free. Stored last. */
  nameBytes: 0,
  /** 1: counts only. */
  observes: 4,
  inFlight: 8,
  queued: 12,
  limit: 16,
  /** When the oldest entry came; 0: nothing waits. */
  oldestAtMs: 24,
  admitted: 32,
  /** f64 for each of REFUSALS; with `observes`, what would have been. */
  refused: 40,
  overloadedMs: 88,
  name: 128,
} as const;

export const WORK_ROW = {
  /** Odd: in use. One more with every begin and end. */
  sequence: 0,
  /** Index of the kind in the low 8 bits, index + 1 of the name above. */
  kindAndName: 4,
  /** The work that this is part of; 0: none. */
  parent: 8,
  state: 12,
  startMs: 16,
  /** 0: none. */
  deadlineMs: 24,
  /** When it last made progress. */
  progressMs: 32,
  /** Moved so far. */
  bytes: 40,
  /** Held in memory now. */
  buffered: 48,
} as const;

export const WORK_KINDS_OFFSET: number = WORK_HEADER_BYTES;
export const WORK_NAMES_OFFSET: number = WORK_KINDS_OFFSET + WORK_KINDS_MAX * WORK_KIND_BYTES;
export const WORK_GATES_OFFSET: number = WORK_NAMES_OFFSET + WORK_NAMES_MAX * WORK_NAME_BYTES;
export const WORK_ROWS_OFFSET: number = WORK_GATES_OFFSET + WORK_GATES_MAX * WORK_GATE_BYTES;
const BYTES: number = WORK_ROWS_OFFSET + WORK_ROWS_MAX * WORK_ROW_BYTES;
/** Of one area. */
export const WORK_BYTES: number = Math.ceil(BYTES / 4096) * 4096;
