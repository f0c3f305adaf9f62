/**
 * Stacks as text, for people:
 *
 * ```
 * running: in spread (/app/range.js:9:39)
 *
 * main thread (4711), running
 *   spread (/app/range.js:9:39)                                      turbofan
 *       minimum = 5, maximum = 5, steps = 10
 *   Range.scale ...
 *   async main (/app/range.js:13:51)
 * ```
 */
import type { StackFrame, Stacks, ThreadStack, ValueText } from "./model.ts";
import { frameText } from "./places.ts";

const NATIVE_ON_TOP_MAX = 12;
const FRAMES_SHOWN_MAX = 200;
const BOTTOM_SHOWN = 20;
const TEXT_CHARS_MAX = 120;
/** Of the stack that an error recorded. */
const RECORDED_SHOWN_MAX = 10;

export interface RenderOptions {
  /** V8's own frames and every native one too. */
  readonly isFull?: boolean;
  /** Threads without JavaScript too. */
  readonly areAllThreads?: boolean;
}

function valueText({ name, text, isLikely }: ValueText): string {
  const short = text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}...` : text;
  return `${name} = ${isLikely ? "~" : ""}${short}`;
}

function frameLines(frame: StackFrame, isFull: boolean): readonly string[] {
  const { kind, name, receiver, parameters, tier, isInlined } = frame;
  if (kind === "missing") return [`  ... ${name} ...`];
  const prefix = kind === "async" ? "async " : kind === "native" ? "[native] " : "";
  const marks = [tier, isInlined ? "inlined" : null].filter((mark) => mark !== null);
  const suffix = kind === "javascript" ? `  [${marks.join(", ")}]` : "";
  const line = `  ${prefix}${frameText(frame, "(anonymous)")}${suffix}`;
  if (kind !== "javascript") return [line];
  const values = [...parameters];
  const isThisTelling = receiver !== null && !["undefined", "<missing>"].includes(receiver.text);
  if (receiver !== null && isThisTelling) values.unshift(receiver);
  const lines = values.length === 0 ? [line] : [line, `      ${values.map(valueText).join(", ")}`];
  if (!isFull) return lines;
  const { variables, registers } = frame;
  const parts = [
    { title: "variables", list: variables.filter(({ name: one }) => !isParameter(frame, one)) },
    { title: "registers", list: registers },
  ].filter(({ list }) => list.length > 0);
  return [
    ...lines,
    ...parts.map(({ title, list }) => `      ${title}: ${list.map(valueText).join(", ")}`),
  ];
}

/** It is told already. */
function isParameter({ parameters }: StackFrame, variable: string): boolean {
  return parameters.some(({ name, isLikely }) => name === variable && !isLikely);
}

/** Native frames matter on top, where the thread is; below JavaScript they are the way in. */
function visible(frames: readonly StackFrame[]): readonly StackFrame[] {
  const first = frames.findIndex(({ kind }) => kind === "javascript" || kind === "builtin");
  return frames.filter(({ kind }, index) => {
    if (kind === "internal") return false;
    if (kind !== "native") return true;
    return first < 0 ? index < NATIVE_ON_TOP_MAX : index < Math.min(first, NATIVE_ON_TOP_MAX);
  });
}

function threadLines(thread: ThreadStack, isFull: boolean): readonly string[] {
  const { tid, name, role, isCrashed } = thread;
  const isNamed = name !== null && name !== "" && role !== "main thread";
  const called = isNamed ? ` "${name}"` : "";
  const lines = [`${role}${called} (${tid})${isCrashed ? ", got the signal" : ""}`];
  const frames = isFull ? thread.frames : visible(thread.frames);
  const cut = frames.length > FRAMES_SHOWN_MAX && !isFull ? FRAMES_SHOWN_MAX - BOTTOM_SHOWN : -1;
  for (const [index, frame] of frames.entries()) {
    if (index === cut) lines.push(`  ... ${frames.length - FRAMES_SHOWN_MAX} frames more ...`);
    if (cut >= 0 && index >= cut && index < frames.length - BOTTOM_SHOWN) continue;
    lines.push(...frameLines(frame, isFull));
  }
  return lines;
}

/** The whole report; its first line says why. */
export function renderStacks(stacks: Stacks, options: RenderOptions = {}): string {
  const { isFull = false, areAllThreads = isFull } = options;
  const { text, stack } = stacks.cause;
  const recorded = stack.slice(0, RECORDED_SHOWN_MAX).map((line) => `    ${line}`);
  if (stack.length > recorded.length)
    recorded.push(`    ... ${stack.length - recorded.length} more`);
  const lines = [text, ...recorded, ""];
  const shown = stacks.threads.filter(
    ({ hasIsolate, isCrashed }) => areAllThreads || hasIsolate || isCrashed,
  );
  for (const thread of shown) lines.push(...threadLines(thread, isFull), "");
  const hidden = new Map<string, number>();
  for (const thread of stacks.threads) {
    if (!shown.includes(thread)) hidden.set(thread.role, (hidden.get(thread.role) ?? 0) + 1);
  }
  if (hidden.size > 0) {
    const counts = [...hidden].map(([role, count]) => (count === 1 ? role : `${count} ${role}`));
    lines.push(`also: ${counts.join(", ")}`);
  }
  for (const remark of stacks.remarks) lines.push(`note: ${remark}`);
  return `${lines.join("\n").trimEnd()}\n`;
}
