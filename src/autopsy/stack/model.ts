/** What `stacks` finds out, in plain data: the form of `--json`. */
import type { Tagged } from "../v8/tagged.ts";
import type { Tier } from "./js-frames.ts";

export interface SourceLocation {
  /** As V8 names the script: a path, a `file:` or `node:` URL; empty for an eval without a name. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

export interface ValueText {
  readonly name: string;
  /** One line: `{ url: "/x" }`, `<optimised away>`, `<not recoverable>`. */
  readonly text: string;
  /** Probably so, not certainly; shown with `~`. */
  readonly isLikely: boolean;
  /** Address of the object, for `print`; null: no object of the heap. */
  readonly address: number | null;
}

export type FrameKind =
  | "javascript"
  /** A JavaScript function that V8 brings along: Array.prototype.sort. */
  | "builtin"
  /** A function that waits for the one above. */
  | "async"
  | "wasm"
  | "regexp"
  | "native"
  /** V8's own code between the others. */
  | "internal"
  /** Frames are missing here; the name says why. */
  | "missing";

export interface StackFrame {
  readonly kind: FrameKind;
  /** Empty for a function without a name. */
  readonly name: string;
  /** What V8 made up for a function without a name, from where it was assigned; or empty. */
  readonly inferredName: string;
  readonly tier: Tier | null;
  readonly isInlined: boolean;
  readonly location: SourceLocation | null;
  /** Where the code was written, by its source map; null: no map. */
  readonly original: SourceLocation | null;
  readonly receiver: ValueText | null;
  readonly parameters: readonly ValueText[];
  /** Variables that closures use, its own and those around it, by name. */
  readonly variables: readonly ValueText[];
  /** Registers of the interpreter: variables without their names, and values on the way. */
  readonly registers: readonly ValueText[];
  /** The closure, for `print`; null: not known. */
  readonly closure: Tagged | null;
  readonly pc: number | null;
  /** Of a WebAssembly frame, where that can be told. */
  readonly wasm: WasmLocation | null;
}

/** As V8 names it: `wasm://wasm/48e9847a:wasm-function[2]:0x44`. */
export interface WasmLocation {
  readonly url: string;
  readonly functionIndex: number;
  /** From the module's first byte on; null: not known. */
  readonly byteOffset: number | null;
}

export interface ThreadStack {
  readonly tid: number;
  /** `comm`; null in a core. */
  readonly name: string | null;
  /** "main thread", "worker thread", "libuv pool", ... */
  readonly role: string;
  /** Runs JavaScript. */
  readonly hasIsolate: boolean;
  readonly isCrashed: boolean;
  /** From the top on. */
  readonly frames: readonly StackFrame[];
  /** False: some frames could not be followed; a frame of kind "missing" says where. */
  readonly isComplete: boolean;
}

export interface Cause {
  readonly kind:
    | "signal"
    | "abort"
    | "fatal error"
    | "out of memory"
    | "uncaught error"
    | "assertion"
    | "running"
    | "stopped"
    | "idle"
    | "unknown";
  /** One sentence. */
  readonly text: string;
  /**
   * The stack that an uncaught error recorded: `at name (file:line:column)`; else empty. Behind
   * `caused by ...` that of its cause.
   */
  readonly stack: readonly string[];
}

export interface Stacks {
  readonly title: string;
  readonly pid: number;
  /** "13.6.233.17-node.53" */
  readonly v8: string;
  readonly cause: Cause;
  readonly threads: readonly ThreadStack[];
  /** Of a live process: the longest time that it stood still; null: of a core. */
  readonly stoodStillMs: number | null;
  readonly remarks: readonly string[];
}
