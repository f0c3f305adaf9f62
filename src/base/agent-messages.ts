/**
 * What reactor and agent say to each other: lines of JSON on a stream socket, one for each worker.
 *
 * ```
 *   reactor --ask--> agent    then any number of: reactor --tell--> agent, reactor <--part-- agent
 *   reactor <--done | failed-- agent            or: reactor --cancel--> agent --done | failed-->
 * ```
 * A line is whole or nothing: a reactor that died in the middle of one leaves garbage, so the next
 * one begins with an empty line and `reset`, after which the agent has nothing under way.
 */

import type { ReactorToWorker, WatchedLine } from "./messages.ts";

export type TraceMessage = Extract<ReactorToWorker, { type: `trace-${string}` }>;

/**
 * Diagnostics channels in the main thread on which the agent speaks to our own code there. A
 * message is answered by its member `answer`, or `isWanted`.
 */
export const TRACE_CHANNEL = "holdfast:trace";
export const LINE_CHANNEL = "holdfast:line";
/**
 * Answers with the route of its member `request`, or else of the request being executed; where
 * `asks` is `progress`, with how far the worker is.
 */
export const ROUTE_CHANNEL = "holdfast:route";

/** A frame of the main thread's stack. */
export interface StackFrame {
  /** Empty for code that is in no function, or in one without a name. */
  readonly name: string;
  /** Path of the file, or URL (`node:timers`), after source maps. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** Arguments and locals, values as short text, secrets masked; only of the innermost frames. */
  readonly variables?: readonly (readonly [name: string, value: string])[];
}

/** What the main thread is doing. */
export interface MainStack {
  /**
   * `running`: JavaScript, see the frames. `idle`: waits for events. `native`: in code that is not
   * JavaScript and does not return to it. `paused`: a debugger holds it.
   */
  readonly state: "running" | "idle" | "native" | "paused";
  /** Innermost first. */
  readonly frames: readonly StackFrame[];
  /** Functions that await the outermost frame, as V8 knows them, innermost first. */
  readonly awaitedBy: readonly string[];
  /**
   * The request whose IncomingMessage is among the variables of the innermost frames, `GET /a`;
   * null: there is none, or there are several. After an `await` nothing else tells which it is.
   */
  readonly requestSeen: string | null;
  /**
   * What that request, or else the one that the ledger knows to be executed, is counted under:
   * `GET /orders/:id`. Null: there is none, or nothing in the worker could answer.
   */
  readonly route: string | null;
  /** Frames that were left out. */
  readonly framesMore: number;
  /** How long the main thread was held for it. */
  readonly heldMs: number;
}

export interface HeapFigures {
  readonly usedBytes: number;
  readonly externalBytes: number;
  readonly limitBytes: number;
}

/** How a rescue ended. */
export interface RescueResult {
  /** Whether an exception was put into the guilty frame. */
  readonly done: boolean;
  readonly how: string;
}

/** A file that the worker has loaded, or those that it has. */
export type LoadedScript =
  | { readonly source: string; readonly isModule: boolean }
  /** Not this one; files that are neither Node's nor of a package. */
  | { readonly source: null; readonly others: readonly string[] };

/** A function whose text is to change; the texts are ends of what `toString` gives. */
export interface PatchedText {
  readonly before: string;
  readonly after: string;
  /** What makes it anew, where V8 does not edit the file; a text: why nothing can. */
  readonly rebind: RebindText | string;
}

/** A function of a CommonJS file that can be made outside of it: see `cli/patch-rebind.ts`. */
export interface RebindText {
  /** The method of a class; null: an export has it as its value. */
  readonly member: string | null;
  readonly isStatic: boolean;
  /** The body of a function with the parameters of a module, which returns it. */
  readonly code: string;
  /** Where it begins in the file, from 1. */
  readonly line: number;
}

export type PatchResult =
  /** For each function that was asked for: how many closures have the new code, and the old. */
  | {
      readonly refused: null;
      readonly counts: readonly { readonly renewed: number; readonly kept: number }[];
      readonly heldMs: number;
      /** They were replaced where they are bound, and why V8 did not edit; null: it did. */
      readonly bound: { readonly places: readonly string[]; readonly why: string } | null;
    }
  | { readonly refused: string };

export type AgentRequest =
  /** Answer: MainStack. `silentMs`: for how long the main thread has shown no progress. */
  | { readonly kind: "stack"; readonly variables: boolean; readonly silentMs: number }
  /** Answer: the value as JSON, in the main thread's global scope. */
  | { readonly kind: "evaluate"; readonly expression: string; readonly awaitPromise: boolean }
  /** Answer: `{characters}`, after parts `{text}` which together are the profile. */
  | {
      readonly kind: "profile";
      readonly what: "cpu" | "heap" | "allocations";
      readonly durationMs: number;
      /** Microseconds, or bytes. */
      readonly interval: number;
    }
  /** Answer: HeapFigures. */
  | { readonly kind: "heap" }
  /** Writes a heap snapshot to a file that is not there yet. Answer: `{path}`. */
  | { readonly kind: "snapshot"; readonly path: string }
  /** A debugger: parts and tells are messages of the Chrome DevTools Protocol. */
  | { readonly kind: "debug" }
  /** Answer: LoadedScript. */
  | { readonly kind: "script"; readonly path: string }
  /** Replaces the code of a file's functions. Answer: PatchResult. */
  | {
      readonly kind: "patch";
      readonly path: string;
      readonly isModule: boolean;
      /** SHA-256 of what the file must be now, in hexadecimal digits. */
      readonly beforeSha256: string;
      /** What it shall be; the first that V8 takes. */
      readonly sources: readonly string[];
      readonly functions: readonly PatchedText[];
      readonly isDryRun: boolean;
    }
  /** What a worker would be asked by its channel, carried out though it spins. Answer: the same. */
  | { readonly kind: "trace"; readonly message: TraceMessage }
  /** Watches places for a trace until it is cancelled. */
  | { readonly kind: "lines"; readonly lines: readonly WatchedLine[] }
  /** Raises an exception in the function that spins. Answer: RescueResult. */
  | {
      readonly kind: "rescue";
      /** How far the worker was when it spun, see WorkerTable.progress. */
      readonly progress: string;
    };

export type ReactorToAgent =
  | { readonly type: "reset" }
  | { readonly type: "ask"; readonly id: number; readonly request: AgentRequest }
  | { readonly type: "tell"; readonly id: number; readonly value: unknown }
  | { readonly type: "cancel"; readonly id: number };

export type AgentToReactor =
  | { readonly type: "part"; readonly id: number; readonly value: unknown }
  | { readonly type: "done"; readonly id: number; readonly value: unknown }
  | { readonly type: "failed"; readonly id: number; readonly message: string }
  /** Its last words. */
  | { readonly type: "fault"; readonly message: string };
