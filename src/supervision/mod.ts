/**
 * What keeps workers alive and tells of them, whichever way they get their connections: shared by
 * the keeper, the reactor and portable mode.
 */
export { AdminProcess } from "./admin-process.ts";
export type { AdminOrder } from "./admin-process.ts";
export { controlRoutes } from "./control-routes.ts";
export type { ControlledService } from "./control-routes.ts";
export { ControlServer } from "./control.ts";
export { CrashReporter } from "./crash-reporter.ts";
export { CRASH_REQUESTS_MAX, CRASH_WORK_MAX, requestFacts } from "./crash-report.ts";
export type {
  CrashEvidence,
  CrashReport,
  CrashRequest,
  CrashSample,
  CrashService,
  WorkerDeath,
} from "./crash-report.ts";
export { crashDirectory, listCrashes, readCrash } from "./crash-store.ts";
export { crashText } from "./crash-text.ts";
export { heapFlags } from "./heap-flags.ts";
export { SNAPSHOT_MS_MAX, nearLimitFlags, writesSnapshot } from "./near-limit-snapshots.ts";
export { hdrLog } from "./latency-hdr.ts";
export {
  LatencyGroup,
  allLatencies,
  groupLatencies,
  reportSeries,
  statusText,
} from "./latency-report.ts";
export type { LatencyReport, ReportedSeries, ReportedWorker } from "./latency-report.ts";
export { LogFile } from "./log-file.ts";
export type { LogRecord } from "./log-file.ts";
export { memoryPlan } from "./memory-plan.ts";
export type { MemoryPlan } from "./memory-plan.ts";
export { MemoryWatch } from "./memory-watch.ts";
export { Tap, standardSinks } from "./output.ts";
export type { Sink, StandardSinks } from "./output.ts";
export type { OperationResult, ProgressEvent, ProgressListener } from "./operation.ts";
export { addressText, assembleStatus } from "./status.ts";
export type {
  OldestRequest,
  Status,
  StatusListener,
  StatusTotals,
  StatusWorker,
  WorkerFigures,
} from "./status.ts";
export { Supervisor } from "./supervisor.ts";
export type { AdoptedWorker, LogFields, SupervisorPorts } from "./supervisor-types.ts";
export { LineQueue } from "./line-queue.ts";
export { liveRoutes } from "./live-routes.ts";
export { traceRoutes } from "./trace-routes.ts";
export type {
  AttachedDebugger,
  ControlledLive,
  ProfileLine,
  PatchOrder,
  ProfileOrder,
  WorkerPatch,
  WorkerScript,
  WorkerStack,
} from "./live-routes.ts";
export type { ControlledTraces, TraceLine } from "./trace-routes.ts";
export type { WorkItem, WorkReport, WorkReportWorker } from "./work-report.ts";
export { Versions } from "./versions.ts";
export type { Version } from "./versions.ts";
export { Watcher } from "./watch.ts";
export { WorkerOutput } from "./worker-output.ts";
export type { WorkerSinks } from "./worker-output.ts";
