/** The shape of the reactor's answers. The process itself is started, not imported. */
export type { OperationResult, ProgressEvent } from "./operation.ts";
export type { Status, StatusListener, StatusTotals, StatusWorker } from "./status.ts";
