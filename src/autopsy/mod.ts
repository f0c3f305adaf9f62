/**
 * Post-mortem debugging of Node: read a core file or a live process, with nothing prepared
 * beforehand.
 *
 * @example
 * const session = await Session.open("core.4711", { node: null, tracer: null, environment: {} });
 * try {
 *   const result = await runExpression(session, parseExpression("find Socket | print"), undefined);
 * } finally {
 *   session.close();
 * }
 */
export { FILTERS, parseExpression, runExpression, wordsAndFlags } from "./front/expression.ts";
export type { Stage } from "./front/expression.ts";
export { copyCost, costText, dumpLive, refuseLong } from "./front/live-copy.ts";
export type { CopyCost } from "./front/live-copy.ts";
export { addressesOf, jsonOf } from "./front/result.ts";
export type { CellKind, CellValue, ColumnSpec, Result } from "./front/result.ts";
export type { TableResult, TextResult } from "./front/result.ts";
export { Session } from "./front/session.ts";
export type { SessionOptions } from "./front/session.ts";
export { AUTOPSY_VERBS } from "./front/verbs.ts";
export type { AutopsyVerb, VerbFlag } from "./front/verb.ts";
export type { StackFrame as AutopsyFrame } from "./stack/model.ts";
export { SourceMaps } from "./stack/source-maps.ts";
export { ThreadReader } from "./stack/stacks.ts";
export { signalName } from "./target/core-notes.ts";
export { writeDump } from "./target/dump.ts";
export type { DumpResult } from "./target/dump.ts";
export { LiveProcess } from "./target/live.ts";
export type { Tracer } from "./target/hold.ts";
export { openTarget } from "./target/open.ts";
export type { SignalFacts, Target } from "./target/target.ts";
export { readVersion } from "./v8/metadata.ts";
export { openV8, prepareV8 } from "./v8/process.ts";
export type { PreparedV8 } from "./v8/process.ts";
