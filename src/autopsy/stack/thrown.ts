/**
 * The value that was thrown and that nobody caught. V8 has made a message of it, which refers to
 * it, before anything dies of it; the newest handle to a message leads there. Errors that merely
 * lie on the stack may be others: one of them is only likely.
 *
 * ```
 *   handle | handle | handle | next       downwards from the newest
 *               `--> JSMessageObject --argument--> the value
 * ```
 * Sources: `Isolate::Throw`, `CreateMessageOrAbort` (src/execution/isolate.cc), `JSMessageObject`
 * (js-objects.tq) of V8 12.4 to 14.6; `TriggerUncaughtException` (src/node_errors.cc) of Node.
 */
import { readErrorStack } from "../heap/error-stack.ts";
import { handleBlocks } from "../v8/handle-blocks.ts";
import { ObjectReader } from "../v8/objects.ts";
import type { V8Process } from "../v8/process.ts";
import { CLEARED, isSmi } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import { BriefPrinter } from "./brief.ts";
import type { StackFrame } from "./model.ts";
import { positionAt } from "./source-positions.ts";

/** The runtime function of `throw`: the value is its argument, on the stack of JavaScript. */
const THROW = /\bRuntime_(?:Re)?Throw$/u;
/** From the frame pointer of an exit frame: its caller's, the return address, the arguments. */
const EXIT_ARGUMENT = 16;
const CHARS_MAX = 2_000;
const STACK_CHARS_MAX = 100_000;
const STACK_LINES_MAX = 1_000;
const PROPERTIES_MAX = 1_000;
/** How the line begins behind which the stack of an error's `cause` stands. */
export const CAUSED_BY = "caused by ";
/** `cause` of `cause`. */
const CAUSES_MAX = 4;

export interface Thrown {
  /** `TypeError: ...`, or the value when it is no error; one line. */
  readonly text: string;
  /**
   * `at name (file:line:column)`, the innermost first; none: it has recorded no stack. Then the
   * same of its `cause`, behind `caused by`.
   */
  readonly stack: readonly string[];
}

/**
 * Finds it. @param words of the stack of the thread, from its top.
 * @returns null: nothing is known of it
 */
export function thrownValue(
  v8: V8Process,
  tid: number,
  frames: readonly StackFrame[],
  words: Iterable<number>,
): Thrown | null {
  const { heap, layout } = v8;
  const argument = fromArgument(v8, tid, frames);
  if (argument !== null) return described(v8, argument);
  const exact = fromMessage(v8, tid);
  const written = exact === null ? null : heap.string(exact, CHARS_MAX);
  if (exact !== null && written === null) return described(v8, exact);
  const type = layout.type("JS_ERROR_TYPE");
  for (const word of words) {
    if (!isReference(word) || heap.instanceTypeOf(word - 1) !== type) continue;
    const { text, stack } = described(v8, word - 1);
    if (written === null) return { text: `~${text}`, stack };
    if (isWrittenAs(v8, word - 1, written)) return { text, stack };
  }
  return exact === null ? null : described(v8, exact);
}

/**
 * Whether a text is what an error gives as one. When V8 reports a message, it puts the text of an
 * error in its place (`MessageHandler::ReportMessage`, src/execution/messages.cc).
 */
function isWrittenAs(v8: V8Process, error: Tagged, text: string): boolean {
  const message = ownTexts(v8, new ObjectReader(v8.heap, v8.functions), error).get("message");
  return message !== undefined && message !== "" && text.endsWith(`: ${message}`);
}

function isReference(word: number): boolean {
  return word % 4 === 1 && word - 1 !== CLEARED && !isSmi(word - 1);
}

/** By the newest handle to a message. */
function fromMessage(v8: V8Process, tid: number): Tagged | null {
  const { heap, isolates, layout, target } = v8;
  const isolate = isolates.find((each) => each.tid === tid);
  if (isolate === undefined) return null;
  const type = layout.type("JS_MESSAGE_OBJECT_TYPE");
  // the raw type comes first; behind it, what it is about (js-objects.tq)
  const argumentAt = layout.field("JSMessageObject", "raw_type") + 8;
  for (const { start, bytes } of handleBlocks(target.memory, isolate.address).toReversed()) {
    for (let at = start + bytes - 8; at >= start; at -= 8) {
      const object = heap.tagged(at, 0);
      if (isSmi(object) || heap.instanceTypeOf(object) !== type) continue;
      return heap.tagged(object, argumentAt);
    }
  }
  return null;
}

/** By the argument of the runtime's function. */
function fromArgument(v8: V8Process, tid: number, frames: readonly StackFrame[]): Tagged | null {
  const isolate = v8.isolates.find((each) => each.tid === tid);
  const called = frames.slice(
    0,
    frames.findIndex(({ kind }) => kind !== "native"),
  );
  if (isolate === undefined || !called.some(({ name }) => THROW.test(name))) return null;
  const value = v8.heap.tagged(isolate.cEntryFp, EXIT_ARGUMENT);
  return value === CLEARED ? null : value;
}

function described(v8: V8Process, value: Tagged, depth = 0): Thrown {
  const { heap, functions, layout } = v8;
  const printed = new BriefPrinter(heap, functions).tagged(value);
  const objects = new ObjectReader(heap, functions);
  if (isSmi(value) || !objects.isReceiver(value)) return { text: printed, stack: [] };
  const own = ownTexts(v8, objects, value);
  const message = own.get("message");
  // what came from another thread is none of V8's errors, but has all that one has
  const isLike = message !== undefined && own.has("stack");
  if (!isLike && !heap.isOfType(value, "JS_ERROR_TYPE")) return { text: printed, stack: [] };
  const format = layout.metadata.hasBreakablePositions ? "flags" : "sign";
  const recorded = readErrorStack(
    heap,
    functions,
    objects.properties(value),
    (table, offset) => positionAt(table, format, offset)?.scriptOffset ?? null,
  );
  const lines = recorded?.lines ?? stackLines(own.get("stack") ?? "");
  const cause = depth < CAUSES_MAX ? objects.get(value, "cause") : null;
  const origin = cause === null ? null : described(v8, cause, depth + 1);
  return {
    text: errorText(own.get("name") ?? objects.className(value), own.get("code"), message),
    stack: origin === null ? lines : [...lines, `${CAUSED_BY}${origin.text}`, ...origin.stack],
  };
}

/** As Node writes it, on one line. */
function errorText(name: string, code: string | undefined, message: string | undefined): string {
  const isTold = code === undefined || name.includes(code) || message?.includes(code) === true;
  const head = isTold ? name : `${name} [${code}]`;
  const text = message === undefined || message === "" ? head : `${head}: ${message}`;
  return text.trim().replaceAll(/\s*\n\s*/g, " ");
}

function stackLines(text: string): readonly string[] {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line.startsWith("at ")).slice(0, STACK_LINES_MAX);
}

/** Own properties that are texts, by name. */
function ownTexts(v8: V8Process, objects: ObjectReader, value: Tagged): Map<string, string> {
  const texts = new Map<string, string>();
  let count = 0;
  for (const { name, isInternal, value: tagged } of objects.properties(value)) {
    if ((count += 1) > PROPERTIES_MAX) break;
    if (isInternal || !["name", "message", "code", "stack"].includes(name)) continue;
    const text = v8.heap.string(tagged, name === "stack" ? STACK_CHARS_MAX : CHARS_MAX);
    if (text !== null) texts.set(name, text);
  }
  return texts;
}
