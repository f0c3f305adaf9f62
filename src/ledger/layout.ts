/**
 * Where everything lies in the ledger's memory file. Drawn in `README.md`; the numbers here are the
 * only other place that knows them. All offsets and sizes are in bytes, little-endian, 8-aligned.
 *
 * ```
 *   0        header            HEADER_BYTES
 *            worker rows       workersMax x WORKER_ROW_BYTES
 *            connection slots  connectionsMax x CONNECTION_SLOT_BYTES
 *            arenas            workersMax x (INBOX_BYTES + JOURNAL_BLOCKS x JOURNAL_BLOCK_BYTES)
 *            latency tables    (workersMax + 1) x LATENCY_SERIES_MAX x LATENCY_SERIES_BYTES
 *            work areas        workersMax x WORK_BYTES, see work-layout.ts
 * ```
 * A change to any of it raises LAYOUT_VERSION; a process that finds another version does not
 * attach.
 */
import { HISTOGRAM_BUCKETS } from "../base/mod.ts";
import { WORK_BYTES } from "./work-layout.ts";

/** "HFLG", little-endian. */
export const LEDGER_MAGIC = 0x474c_4648;
export const LAYOUT_VERSION = 3;

export const HEADER_BYTES = 4096;
export const WORKER_ROW_BYTES = 256;
export const CONNECTION_SLOT_BYTES = 128;
/** What one read of a worker's can take: libuv asks for 64 KiB (uv__read, unix/stream.c). */
export const INBOX_BYTES: number = 64 * 1024;
/** Holds most request heads whole; a page holds two. */
export const JOURNAL_BLOCK_BYTES = 2048;
/** Next-block word and a reserved one. */
export const JOURNAL_BLOCK_HEADER_BYTES = 8;
/**
 * 8 MiB of journal a worker: 4,096 ordinary requests in flight, or 128 bodies of 64 KiB. Untouched
 * pages cost nothing.
 */
export const JOURNAL_BLOCKS = 4096;

/** Header fields. */
export const HEADER = {
  magic: 0,
  version: 4,
  connectionsMax: 8,
  workersMax: 12,
  connectionsTop: 16,
  bytes: 24,
  /** f64 counters since start, written by the reactor, in the order of `TOTALS`. */
  totals: 64,
  /** What a new reactor must know of the former one's decisions, in the order of `COMMITTED`. */
  committed: 256,
} as const;

/** i32 fields at `HEADER.committed`, written by the reactor. */
export const COMMITTED = ["generation", "workers", "stopping", "lastId", "lastGeneration"] as const;
export type CommittedName = (typeof COMMITTED)[number];

/** Counters in the header. */
export const TOTALS = [
  "accepted",
  "moved",
  "replayed",
  "refused",
  "aborted",
  "restarts",
  "requestsOfDeath",
  "closed",
  "requestsOfGoneWorkers",
  "journalFullOfGoneWorkers",
] as const;
export type TotalName = (typeof TOTALS)[number];

/** Fields of a worker row. */
export const WORKER = {
  id: 0,
  pid: 4,
  index: 8,
  generation: 12,
  phase: 16,
  /** Slot + 1 of the connection whose bytes lie in the inbox; 0: not said yet, or none. */
  inboxSlot: 20,
  inFlight: 24,
  connections: 28,
  journalFull: 32,
  heartbeatMs: 40,
  loopLagMs: 48,
  requests: 56,
  startedAtMs: 64,
  /** Connections taken from the channel, and put into it: the difference waits there. */
  received: 72,
  sent: 80,
  heapLimitBytes: 88,
  /** Slot + 1 of the connection whose bytes are being parsed and acted on right now; 0: none. */
  executing: 36,
  /** As of the last heartbeat: V8's heap, and memory outside of it that it holds (Buffers). */
  heapUsedBytes: 96,
  externalBytes: 104,
  /** Since the worker's start. */
  gcCount: 112,
  gcMs: 120,
  /** Time in which the event loop was not waiting. */
  loopActiveMs: 128,
} as const;

/**
 * Pairs of route and kind of outcome that one worker tells apart; what comes later is counted under
 * `(other)`. 30 KiB of addresses each, of which the touched pages take memory.
 */
export const LATENCY_SERIES_MAX = 256;
/** Of a route's name; longer ones are cut. */
export const LATENCY_NAME_BYTES_MAX = 384;
export const LATENCY_SERIES_BYTES: number = 512 + 8 * HISTOGRAM_BUCKETS;
export const LATENCY_BYTES: number = LATENCY_SERIES_MAX * LATENCY_SERIES_BYTES;

/** Fields of a series of latencies. */
export const SERIES = {
  /** 0: free. Stored last when a series is begun. */
  nameBytes: 0,
  /** First digit of the status codes; 0: the client left before the end of the response. */
  status: 4,
  /** Odd while the exemplar is being written. */
  exemplarSequence: 8,
  sumUs: 16,
  /** The part of it in which the request lay in the kernel. */
  waitedUs: 24,
  maxUs: 32,
  exemplarUs: 40,
  /** Wall clock. */
  exemplarAtMs: 48,
  /** W3C trace context: 32 and 16 hexadecimal digits, as text. */
  traceId: 56,
  spanId: 88,
  /** Least and greatest bucket in use, plus 1: who reads touches no page beyond. */
  lowest: 104,
  highest: 108,
  name: 128,
  counts: 512,
} as const;

/** Fields of a connection slot. */
export const CONNECTION = {
  /** Generation << 4 | state: one word, so that one compare and exchange can check both. */
  word: 0,
  owner: 8,
  listener: 12,
  /** Two sets of (f64 read, f64 written); `activeSet` says which is true. */
  counts: 16,
  activeSet: 48,
  /** Bytes of an interim (1xx) response that may have left since the quiescent point. */
  interimBytes: 52,
  /** Kernel read count at which the journal begins. */
  journalFrom: 56,
  journalBytes: 64,
  journalBlock: 68,
  /** Kernel written count at which the response in flight will be complete; 0: not known. */
  responseEnd: 72,
  requestAtMs: 80,
  openedAtMs: 88,
  /** Which request since the quiescent point `responseEnd` belongs to, from 1. */
  responseOrdinal: 96,
  /** Workers that have died with the request that is in flight here. */
  deaths: 104,
  flags: 108,
  requests: 112,
} as const;

/** Sizes that one ledger is made with. */
export interface LedgerShape {
  readonly connectionsMax: number;
  readonly workersMax: number;
}

export const ARENA_BYTES: number = INBOX_BYTES + JOURNAL_BLOCKS * JOURNAL_BLOCK_BYTES;

/** Offset of the first worker row. */
export const WORKERS_OFFSET: number = HEADER_BYTES;

/** Offset of the first connection slot. */
export function connectionsOffset(shape: LedgerShape): number {
  return WORKERS_OFFSET + shape.workersMax * WORKER_ROW_BYTES;
}

/** Offset of the arena of a worker row: its inbox, then its journal blocks. */
export function arenaOffset(shape: LedgerShape, row: number): number {
  const slots = connectionsOffset(shape) + shape.connectionsMax * CONNECTION_SLOT_BYTES;
  return Math.ceil(slots / 4096) * 4096 + row * ARENA_BYTES;
}

/**
 * Offset of the latency table of a worker row. The one behind the last row is the reactor's: there
 * it adds up what the workers that have gone had counted.
 */
export function latencyOffset(shape: LedgerShape, row: number): number {
  const arenas = arenaOffset(shape, shape.workersMax);
  return Math.ceil(arenas / 4096) * 4096 + row * LATENCY_BYTES;
}

/** Offset of the work area of a worker row. */
export function workOffset(shape: LedgerShape, row: number): number {
  const latencies = latencyOffset(shape, shape.workersMax + 1);
  return Math.ceil(latencies / 4096) * 4096 + row * WORK_BYTES;
}

/** Bytes of the whole file. */
export function ledgerBytes(shape: LedgerShape): number {
  return workOffset(shape, shape.workersMax);
}
