/**
 * The stack that an error recorded when it was made. Until a program asks for `stack`, V8 keeps
 * frames; then it keeps the text. Either lies under a private symbol, the first that an error has.
 *
 * ```
 *   12.4, 13.6   FixedArray of CallSiteInfo: map, code, receiver, function, offset, flags, ...
 *   14.6         FixedArray, six words a frame: wrapper of the code, receiver, function, offset,
 *                parameters, flags
 *   all          ErrorStackData around either, while an inspector listens
 * ```
 * Sources: call-site-info.tq, js-objects.tq (`ErrorStackData`), messages.cc; the words of 14.6 as
 * they are in cores.
 */
import type { Property } from "../v8/objects.ts";
import type { FunctionReader } from "../v8/functions.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { CLEARED, isSmi, smiValue } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";

const FRAMES_MAX = 1_000;
const TEXT_CHARS_MAX = 100_000;
const CALL_SITE = { code: 8, function: 24, offset: 32, flags: 40 } as const;
/** The same in words, where frames lie one after the other. */
const FLAT = { words: 6, code: 0, function: 2, offset: 3, flags: 5 } as const;
const WRAPPED_CODE_AT = 8;
const STACK_DATA_FRAMES_AT = 8;
/**
 * Flags up to `is_async` say what the frame is; above them stands, among others, that the offset
 * is a position already. Such a frame is told without its place.
 */
const FLAGS_KNOWN = 0x3f;

/** The position in the source for an offset in the bytecode, by its table; null: unknown. */
export type PositionReader = (table: Buffer, codeOffset: number) => number | null;

export interface ErrorStack {
  readonly address: Tagged;
  /** `at name (file:line:column)`, the innermost first. */
  readonly lines: readonly string[];
}

/** Reads the stack of an error by its own properties; null when it has none. */
export function readErrorStack(
  heap: HeapView,
  functions: FunctionReader,
  properties: Iterable<Property>,
  positionOf: PositionReader,
): ErrorStack | null {
  for (const { isInternal, value } of properties) {
    if (!isInternal) continue;
    const isData = heap.layout.typeName(heap.instanceTypeOf(value)) === "ERROR_STACK_DATA_TYPE";
    const address = isData ? heap.tagged(value, STACK_DATA_FRAMES_AT) : value;
    const text = heap.string(address, TEXT_CHARS_MAX);
    if (text !== null) return { address, lines: linesOf(text) };
    if (!heap.isOfType(address, "FIXED_ARRAY_TYPE")) return null;
    const frames = [...framesOf(heap, address)];
    return { address, lines: frames.map((frame) => frameText(heap, functions, frame, positionOf)) };
  }
  return null;
}

function linesOf(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => /^\s+at /.test(line))
    .slice(0, FRAMES_MAX)
    .map((line) => line.trim());
}

interface Frame {
  readonly code: Tagged;
  readonly closure: Tagged;
  readonly offset: Tagged;
  readonly flags: Tagged;
}

function* framesOf(heap: HeapView, array: Tagged): Generator<Frame> {
  const length = heap.arrayLength(array);
  const isFlat = !heap.isOfType(heap.arrayItem(array, 0), "CALL_SITE_INFO_TYPE");
  const step = isFlat ? FLAT.words : 1;
  for (let at = 0; at + step <= length && at < step * FRAMES_MAX; at += step) {
    const site = heap.arrayItem(array, at);
    const wrapper = heap.arrayItem(array, at + FLAT.code);
    yield isFlat
      ? {
          code: heap.tagged(wrapper, WRAPPED_CODE_AT),
          closure: heap.arrayItem(array, at + FLAT.function),
          offset: heap.arrayItem(array, at + FLAT.offset),
          flags: heap.arrayItem(array, at + FLAT.flags),
        }
      : {
          code: heap.tagged(site, CALL_SITE.code),
          closure: heap.tagged(site, CALL_SITE.function),
          offset: heap.tagged(site, CALL_SITE.offset),
          flags: heap.tagged(site, CALL_SITE.flags),
        };
  }
}

function frameText(
  heap: HeapView,
  functions: FunctionReader,
  { code, closure, offset, flags }: Frame,
  positionOf: PositionReader,
): string {
  if (!heap.isFunction(closure)) return "at <unknown>";
  const shared = functions.sharedOf(closure);
  const name = functions.nameOf(shared);
  const script = functions.scriptOf(shared);
  const isKnown = isSmi(flags) && (smiValue(flags) & ~FLAGS_KNOWN) === 0 && isSmi(offset);
  const isBytecode = heap.isOfType(code, "BYTECODE_ARRAY_TYPE");
  const table = isBytecode ? heap.tagged(code, heap.layout.stated.bytecodePositions) : CLEARED;
  const position = isKnown ? positionOf(heap.byteArray(table), smiValue(offset)) : null;
  if (script === null) return name === "" ? "at <anonymous>" : `at ${name} (<anonymous>)`;
  const found = position === null ? null : functions.lineColumn(script, position);
  const place = found === null ? "" : `:${found.line}:${found.column}`;
  return name === "" ? `at ${script.name}${place}` : `at ${name} (${script.name}${place})`;
}
