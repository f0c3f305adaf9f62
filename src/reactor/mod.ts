/** What others know of the reactor: the shape of its answers. The process is started, not imported. */
export type { OperationResult, ProgressEvent } from "./operation.ts";
export type { Status, StatusListener, StatusTotals, StatusWorker } from "./status.ts";
