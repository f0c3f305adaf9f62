/**
 * Tracing: the language, what it makes of a running process, and how results are put together and
 * shown. `holdfast/trace`, which applications import, is `probe.ts` alone.
 *
 * ```
 *   cli: check, merge, render  <--control socket-->  reactor  <--channel-->  worker: TraceRuntime
 * ```
 */
export { checkProgram } from "./check.ts";
export type { CheckedProgram } from "./check.ts";
export { KNOWN_CHANNELS } from "./channels.ts";
export { TraceProgramError, excerpt } from "./errors.ts";
export { Merger } from "./merge.ts";
export type { MergedTrace, TraceSnapshot } from "./merge.ts";
export { probe } from "./probe.ts";
export type { Probe, ProbeOptions } from "./probe.ts";
export { listPrograms, readProgram } from "./programs.ts";
export type { ReadyProgram } from "./programs.ts";
export { bucketsOf, renderTrace, scalarOf } from "./render.ts";
export { TraceRuntime } from "./runtime/runtime.ts";
export type { TraceRequest } from "./runtime/runtime.ts";
export type { UserProbe } from "./user-probes.ts";
export {
  ACTIONS,
  AGGREGATES,
  COMMON_VARIABLES,
  FUNCTIONS,
  POINTS,
  REQUEST_VARIABLES,
} from "./vocabulary.ts";
export type { Point } from "./vocabulary.ts";
