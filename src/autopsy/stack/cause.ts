/**
 * Why it died, or what it is doing: the first line. It is told from the signal, from the functions
 * on
 * the stack of the thread that got it, and from texts and errors that this stack points to.
 */
import { formatSize } from "../../base/mod.ts";
import { findPages } from "../heap/pages.ts";
import { NotInMemory } from "../target/memory.ts";
import type { Memory } from "../target/memory.ts";
import type { SignalFacts } from "../target/target.ts";
import type { Layout } from "../v8/layout.ts";
import type { V8Process } from "../v8/process.ts";
import type { Cause, StackFrame, ThreadStack } from "./model.ts";
import { frameText } from "./places.ts";
import { CAUSED_BY, thrownValue } from "./thrown.ts";

/** Words of a stack that are looked at for texts and errors. */
const STACK_WORDS_MAX = 32_768;
const TEXT_BYTES_MAX = 200;
/** JSError: message and stack are ordinary properties, read by the printer. */
const MEMORY_TEXT =
  /^(?:.*(?:heap limit|out of memory|Allocation failed|mark-compacts|table overflow).*)$/iu;
/** A core that was taken from a running process has no signal, or one that ends nothing. */
export function hasDied(signal: SignalFacts | null): boolean {
  return signal !== null && signal.number !== 0 && signal.name !== "SIGSTOP";
}

/** The Heap is a member of the Isolate, at some 60 kB. */
const ISOLATE_BYTES_MAX = 256 * 1024;
/** `GCTracer::Output`: `22111 ms: Mark-Compact (reduce) 1018.1 (1026.4) -> 1017.5 (1020.1) MB`. */
const TRACED = /([\d.]+) ms: [A-Z][\w -]+[^>\0]{0,80}-> [\d.]+ \(([\d.]+)\) MB/gu;
const HEAP_LIMIT_MIN = 1024 * 1024;
const HEAP_LIMIT_MAX = 64 * 2 ** 40;

const FATAL_TEXT =
  /^(?:Check failed|Debug check failed|unreachable code|unimplemented|Fatal ).*$/iu;

/** A line of a recorded stack that says where: of builtins and WebAssembly there is none. */
const HAS_PLACE = /:\d+:\d+\)?$/u;

interface Marker {
  readonly pattern: RegExp;
  readonly kind: Cause["kind"];
  readonly text: string;
}

/** Node's, on the stack as long as an error that nobody caught is dealt with. */
const UNCAUGHT: Marker = {
  pattern: /TriggerUncaughtException/u,
  kind: "uncaught error",
  text: "uncaught error",
};

/** Functions by their readable names, the most telling first. */
const MARKERS: readonly Marker[] = [
  {
    pattern: /FatalProcessOutOfMemory|OOMErrorHandler/u,
    kind: "out of memory",
    text: "out of memory",
  },
  UNCAUGHT,
  {
    pattern: /V8_Fatal|node::OnFatalError|node::FatalError/u,
    kind: "fatal error",
    text: "fatal error",
  },
  {
    pattern: /^node::Assert\b|^__assert_fail/u,
    kind: "assertion",
    text: "assertion failed in C++",
  },
  {
    pattern: /Isolate::Throw|Isolate::ReportPending|PropagatePending/u,
    kind: "uncaught error",
    text: "uncaught error",
  },
  {
    pattern: /^node::(?:\(anonymous namespace\)::)?(?:process::)?Abort$|^node::Abort/u,
    kind: "abort",
    text: "process.abort() was called",
  },
];

/** A cause whose error has recorded no stack. */
type Told = Omit<Cause, "stack"> & Partial<Pick<Cause, "stack">>;

export function causeOf(v8: V8Process, threads: readonly ThreadStack[]): Cause {
  return { stack: [], ...told(v8, threads) };
}

function told(v8: V8Process, threads: readonly ThreadStack[]): Told {
  const { target } = v8;
  const { signal } = target;
  const thread = threads.find(({ isCrashed }) => isCrashed) ?? threads[0];
  if (thread === undefined) return { kind: "unknown", text: "no thread is there" };
  if (target.kind === "live" || signal === null || !hasDied(signal)) {
    const main = threads.find(({ tid }) => tid === target.pid) ?? thread;
    if (target.wasStopped === true) {
      const { text } = activityOf(main, "stopped (SIGSTOP, or job control)");
      return { kind: "stopped", text: `${text}; SIGCONT lets it run on` };
    }
    // as a worker with --core is taken, behind its last listener of `exit`
    if (target.kind !== "live" && isMarked(main, UNCAUGHT)) {
      return fatalCause(v8, main, UNCAUGHT, "taken while that was handled");
    }
    return activityOf(main, target.kind === "live" ? "running" : "taken from a running process");
  }
  const by = `killed by ${signal.name}`;
  const marker = MARKERS.find((each) => isMarked(thread, each));
  if (marker !== undefined) return fatalCause(v8, thread, marker, by);
  const where =
    signal.faultAddress === null ? "" : ` at address 0x${signal.faultAddress.toString(16)}`;
  // Node's own handler passes a signal on to itself.
  const isForeign = signal.senderPid !== null && signal.senderPid !== target.pid;
  const sender = !isForeign ? "" : `, sent by process ${signal.senderPid}`;
  const place = placeOf(thread);
  return { kind: "signal", text: `${by}${where}${sender}${place === "" ? "" : ` in ${place}`}` };
}

function isMarked({ frames }: ThreadStack, { pattern }: Marker): boolean {
  return frames.some(({ kind, name }) => kind === "native" && pattern.test(name));
}

function fatalCause(v8: V8Process, thread: ThreadStack, marker: Marker, by: string): Told {
  const place = placeOf(thread);
  const at = place === "" ? "" : `, in ${place}`;
  switch (marker.kind) {
    case "out of memory": {
      const reason = textOnStack(v8, thread.tid, MEMORY_TEXT) ?? "heap limit reached";
      const text = `out of memory: ${reason}, ${heapSize(v8, thread.tid)} (${by})${at}`;
      return { kind: marker.kind, text };
    }
    case "uncaught error": {
      const { tid, frames } = thread;
      const error = thrownValue(v8, tid, frames, stackWords(v8, tid));
      const lines = error?.stack ?? [];
      const behind = lines.findIndex((line) => line.startsWith(CAUSED_BY));
      const own = behind < 0 ? lines : lines.slice(0, behind);
      const first = own.find((line) => HAS_PLACE.test(line));
      // where it was made tells more than where it left JavaScript
      const origin = first === undefined ? at : `, thrown ${first}`;
      return {
        kind: marker.kind,
        text: `uncaught error: ${error?.text ?? "not recoverable"} (${by})${origin}`,
        stack: lines,
      };
    }
    case "fatal error": {
      const text = textOnStack(v8, thread.tid, FATAL_TEXT);
      return {
        kind: marker.kind,
        text: `fatal error${text === null ? "" : `: ${text}`} (${by})${at}`,
      };
    }
    case "assertion": {
      const text = assertionOnStack(v8, thread.tid);
      const what = text === null ? marker.text : `${marker.text}: ${text}`;
      return { kind: marker.kind, text: `${what} (${by})${at}` };
    }
    default:
      return { kind: marker.kind, text: `${marker.text} (${by})${at}` };
  }
}

/**
 * What the heap of a thread has, and what it may have: the limit of its old generation, which
 * `--max-old-space-size` sets.
 */
function heapSize({ target, heap, isolates, layout }: V8Process, tid: number): string {
  const isolate = isolates.find((each) => each.tid === tid) ?? isolates[0];
  if (isolate === undefined) return "heap of unknown size";
  const { memory } = target;
  const size = lastTraced(memory, isolate.address) ?? largestHeap(target, heap);
  const limit = heapLimitOf(memory, layout, isolate.address);
  return `heap of ${formatSize(size)}${limit === null ? "" : `, limit ${formatSize(limit)}`}`;
}

/**
 * What V8 had taken after its last collection, by its own trace of the last ones, which it keeps
 * within the Heap (`trace_ring_buffer_`). Its pages tell the same, but each would have to be read:
 * of a large core that takes as long as the disk does. Null: no collection is told there.
 */
function lastTraced(memory: Memory, isolate: number): number | null {
  const bytes = Buffer.alloc(ISOLATE_BYTES_MAX);
  const text = bytes.toString("latin1", 0, memory.readInto(isolate, bytes));
  let [last, size] = [-1, null as number | null]; // none yet
  for (const [, time, megabytes] of text.matchAll(TRACED)) {
    if (Number(time) < last) continue;
    last = Number(time);
    size = Math.round(Number(megabytes) * 2 ** 20);
  }
  return size;
}

function largestHeap(target: V8Process["target"], heap: V8Process["heap"]): number {
  const bytes = new Map<number, number>();
  for (const page of findPages(target, heap)) {
    if (page.heap === 0 || page.isLeft) continue;
    const size = page.areaEnd - page.areaStart;
    bytes.set(page.heap, (bytes.get(page.heap) ?? 0) + size);
  }
  return Math.max(0, ...bytes.values());
}

/** The limit of the old generation of an isolate; null when the word there is none. */
export function heapLimitOf(memory: Memory, layout: Layout, isolate: number): number | null {
  const [first = 0, second] = layout.stated.heapLimitPath;
  const wordAt = (address: number): number => {
    const bytes = memory.read(address, 8);
    return bytes === null ? 0 : Number(bytes.readBigUInt64LE(0));
  };
  const limit = wordAt(second === undefined ? isolate + first : wordAt(isolate + first) + second);
  return limit >= HEAP_LIMIT_MIN && limit <= HEAP_LIMIT_MAX ? limit : null;
}

/**
 * The function nearest to the top that is not Node's own: of JavaScript, or of WebAssembly, then
 * with the JavaScript that called it. Else the first one of JavaScript.
 */
function placeOf({ frames }: ThreadStack): string {
  const own = frames.filter((frame) => frame.kind === "wasm" || isOfProgram(frame));
  const frame = own[0] ?? frames.find(({ kind }) => kind === "javascript");
  if (frame === undefined) return "";
  const caller = frame.kind === "wasm" ? own.find(isOfProgram) : undefined;
  const by = caller === undefined ? "" : `, called by ${describe(caller)}`;
  return `${describe(frame)}${by}`;
}

function isOfProgram({ kind, location }: StackFrame): boolean {
  return kind === "javascript" && location?.file.startsWith("node:") === false;
}

function describe(frame: StackFrame): string {
  return frameText(frame, "an anonymous function");
}

function activityOf(thread: ThreadStack, state: string): Told {
  const place = placeOf(thread);
  const natives = thread.frames.filter(({ kind }) => kind === "native").map(({ name }) => name);
  if (place !== "") return { kind: "running", text: `${state}: in ${place}` };
  const isWaiting = natives.some((name) => /uv__io_poll|epoll_p?wait/u.test(name));
  if (isWaiting) return { kind: "idle", text: `${state}: idle, waiting for events` };
  return {
    kind: "running",
    text: `${state}: in native code${natives[0] === undefined ? "" : ` (${natives[0]})`}`,
  };
}

/** Words of the stack of a thread, from its top. */
function* stackWords(v8: V8Process, tid: number): Generator<number> {
  const thread = v8.target.threads.find((one) => one.tid === tid);
  const sp = thread?.registers?.sp ?? 0;
  for (let index = 0; index < STACK_WORDS_MAX; index += 1) {
    try {
      yield v8.target.memory.word(sp + 8 * index);
    } catch (error) {
      if (error instanceof NotInMemory) return;
      throw error;
    }
  }
}

/** The first text of that kind that the stack points to. */
function textOnStack(v8: V8Process, tid: number, pattern: RegExp): string | null {
  for (const word of stackWords(v8, tid)) {
    const text = textAt(v8, word);
    if (text !== null && text.length >= 8 && pattern.test(text)) return text;
  }
  return null;
}

/** `node::AssertionInfo`: place, condition and function, three texts in the binary (src/util.h). */
function assertionOnStack(v8: V8Process, tid: number): string | null {
  for (const word of stackWords(v8, tid)) {
    const info = word < 4096 || word % 8 !== 0 ? null : v8.target.memory.read(word, 24);
    if (info === null) continue;
    const place = textAt(v8, Number(info.readBigUInt64LE(0)));
    if (place === null || !/^\S+\.(?:cc|h):\d+$/u.test(place)) continue;
    const condition = textAt(v8, Number(info.readBigUInt64LE(8)));
    if (condition !== null) return `${condition} (${place})`;
  }
  return null;
}

/** Printable text up to a NUL; null when there is none of a few characters at least. */
function textAt(v8: V8Process, address: number): string | null {
  if (address < 4096 || !Number.isSafeInteger(address)) return null;
  const bytes = v8.target.memory.read(address, TEXT_BYTES_MAX);
  const end = bytes?.indexOf(0) ?? -1;
  if (bytes === null || end < 2) return null;
  const text = bytes.toString("latin1", 0, end);
  return /^[\x20-\x7e]+$/u.test(text) ? text : null;
}
