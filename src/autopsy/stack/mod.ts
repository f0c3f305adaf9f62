/** Stacks of a process: what each thread was doing, with arguments, and why it died. */
export { AsyncChainReader } from "./async-chain.ts";
export type { AsyncFrame } from "./async-chain.ts";
export { BriefPrinter } from "./brief.ts";
export { heapLimitOf } from "./cause.ts";
export { addressedCode } from "./code-at.ts";
export type { CodeAt } from "./code-at.ts";
export type {
  Cause,
  FrameKind,
  SourceLocation,
  StackFrame,
  Stacks,
  ThreadStack,
  ValueText,
} from "./model.ts";
export { readableName } from "./names.ts";
export { renderStacks } from "./render.ts";
export type { RenderOptions } from "./render.ts";
export { readStacks, ThreadReader } from "./stacks.ts";
export type { StackOptions } from "./stacks.ts";
export { fileOf, SourceMaps } from "./source-maps.ts";
export { positionAt } from "./source-positions.ts";
