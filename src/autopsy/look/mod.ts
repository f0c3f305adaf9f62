/**
 * A second door of autopsy, for who wants one stack of a process that runs, and soon: without the
 * heap, the graph of objects and the verbs, which take longer to load than the look takes.
 */
export type { StackFrame as AutopsyFrame } from "../stack/model.ts";
export { SourceMaps } from "../stack/source-maps.ts";
export { ThreadReader } from "../stack/stacks.ts";
export { LiveProcess } from "../target/live.ts";
export { openV8, prepareV8 } from "../v8/process.ts";
export type { PreparedV8 } from "../v8/process.ts";
