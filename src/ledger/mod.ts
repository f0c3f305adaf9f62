/** The ledger: shared memory in which all work in flight is written down. See `README.md`. */
export { CONNECTION_STATES, STATE } from "./connection-state.ts";
export type { ConnectionState } from "./connection-state.ts";
export { ConnectionTable, FLAG_JOURNAL_SHORT, PROMPT_MS } from "./connection-table.ts";
export type { ConnectionSnapshot } from "./connection-table.ts";
export { BLOCK_PAYLOAD_BYTES, JournalArena } from "./journal.ts";
export { LatencyTable, OTHER_ROUTE } from "./latency-table.ts";
export type { LatencyExemplar, LatencySeries } from "./latency-table.ts";
export { INBOX_BYTES, LATENCY_SERIES_MAX } from "./layout.ts";
export type { LedgerShape, TotalName } from "./layout.ts";
export { Ledger } from "./ledger.ts";
export { scanRequests } from "./request-scan.ts";
export type { RequestScan, ScannedRequest } from "./request-scan.ts";
export { WORKER_NUMBER, WORKER_WORD, WorkerTable } from "./worker-table.ts";
export type { WorkerSnapshot } from "./worker-table.ts";
export {
  REFUSALS,
  WORK_BYTES,
  WORK_GATES_MAX,
  STUCK_STATES,
  WORK_OUTCOMES,
  WORK_ROWS_MAX,
  WORK_STATES,
} from "./work-layout.ts";
export type { Refusal, WorkOutcome, WorkState } from "./work-layout.ts";
export { WorkTable, requestWork } from "./work-table.ts";
export type { GateRow, GateView, KindView, WorkView } from "./work-table.ts";
