/** Typed view over the worker rows. The reactor writes identity and phase, the worker the rest. */
import { WORKER, WORKERS_OFFSET, WORKER_ROW_BYTES } from "./layout.ts";
import type { LedgerShape } from "./layout.ts";

/** What a row says at one moment. */
export interface WorkerSnapshot {
  readonly id: number;
  readonly pid: number;
  readonly index: number;
  readonly generation: number;
  readonly phase: number;
  readonly inboxSlot: number;
  readonly inFlight: number;
  readonly connections: number;
  readonly journalFull: number;
  readonly heartbeatMs: number;
  readonly loopLagMs: number;
  readonly requests: number;
  readonly startedAtMs: number;
  readonly received: number;
  readonly sent: number;
}

type IntField =
  | "id"
  | "pid"
  | "index"
  | "generation"
  | "phase"
  | "inboxSlot"
  | "inFlight"
  | "connections"
  | "journalFull"
  | "executing";
type FloatField =
  | "heartbeatMs"
  | "loopLagMs"
  | "requests"
  | "startedAtMs"
  | "received"
  | "sent"
  | "heapLimitBytes"
  | "heapUsedBytes"
  | "externalBytes"
  | "gcCount"
  | "gcMs"
  | "loopActiveMs";

/** Where the fields of the hot path lie in `words(row)`. */
export const WORKER_WORD = {
  inboxSlot: WORKER.inboxSlot >> 2,
  executing: WORKER.executing >> 2,
  inFlight: WORKER.inFlight >> 2,
} as const;

/** Where they lie in `numbers(row)`. */
export const WORKER_NUMBER = { requests: WORKER.requests >> 3 } as const;

/** The table of workers. A row is free while its id is 0. */
export class WorkerTable {
  readonly max: number;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;

  constructor(memory: ArrayBuffer, shape: LedgerShape) {
    this.max = shape.workersMax;
    this.#i32 = new Int32Array(memory, WORKERS_OFFSET, (shape.workersMax * WORKER_ROW_BYTES) >> 2);
    this.#f64 = new Float64Array(
      memory,
      WORKERS_OFFSET,
      (shape.workersMax * WORKER_ROW_BYTES) >> 3,
    );
  }

  int(row: number, field: IntField): number {
    return this.#i32[row * (WORKER_ROW_BYTES >> 2) + (WORKER[field] >> 2)] ?? 0;
  }

  setInt(row: number, field: IntField, value: number): void {
    this.#i32[row * (WORKER_ROW_BYTES >> 2) + (WORKER[field] >> 2)] = value;
  }

  float(row: number, field: FloatField): number {
    return this.#f64[row * (WORKER_ROW_BYTES >> 3) + (WORKER[field] >> 3)] ?? 0;
  }

  setFloat(row: number, field: FloatField, value: number): void {
    this.#f64[row * (WORKER_ROW_BYTES >> 3) + (WORKER[field] >> 3)] = value;
  }

  /** Takes a free row for a worker, or -1 when there is none. */
  claim(id: number, index: number, generation: number): number {
    for (let row = 0; row < this.max; row += 1) {
      if (this.int(row, "id") !== 0) continue;
      this.clear(row);
      this.setInt(row, "index", index);
      this.setInt(row, "generation", generation);
      this.setInt(row, "id", id);
      return row;
    }
    return -1;
  }

  /** The words of one row, for its worker's hot path: indexed by `WORKER_WORD`. */
  words(row: number): Int32Array {
    const start = row * (WORKER_ROW_BYTES >> 2);
    return this.#i32.subarray(start, start + (WORKER_ROW_BYTES >> 2));
  }

  /** The numbers of one row, indexed by `WORKER_NUMBER`. */
  numbers(row: number): Float64Array {
    const start = row * (WORKER_ROW_BYTES >> 3);
    return this.#f64.subarray(start, start + (WORKER_ROW_BYTES >> 3));
  }

  /** The row of a worker, or -1. */
  find(id: number): number {
    for (let row = 0; row < this.max; row += 1) if (this.int(row, "id") === id) return row;
    return -1;
  }

  /** How far a worker is: as long as this is the same, it has not gone on. */
  progress(row: number): string {
    const words = (["heartbeatMs", "requests", "received"] as const).map((word) => {
      return this.float(row, word);
    });
    return words.join(" ");
  }

  /** Frees a row. */
  clear(row: number): void {
    const start = row * (WORKER_ROW_BYTES >> 2);
    this.#i32.fill(0, start, start + (WORKER_ROW_BYTES >> 2));
  }

  snapshot(row: number): WorkerSnapshot {
    return {
      id: this.int(row, "id"),
      pid: this.int(row, "pid"),
      index: this.int(row, "index"),
      generation: this.int(row, "generation"),
      phase: this.int(row, "phase"),
      inboxSlot: this.int(row, "inboxSlot"),
      inFlight: this.int(row, "inFlight"),
      connections: this.int(row, "connections"),
      journalFull: this.int(row, "journalFull"),
      heartbeatMs: this.float(row, "heartbeatMs"),
      loopLagMs: this.float(row, "loopLagMs"),
      requests: this.float(row, "requests"),
      startedAtMs: this.float(row, "startedAtMs"),
      received: this.float(row, "received"),
      sent: this.float(row, "sent"),
    };
  }
}
