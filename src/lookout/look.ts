/** One look at the main thread of a process from outside: it is stopped for some milliseconds. */
import { LiveProcess, SourceMaps, ThreadReader, openV8, prepareV8 } from "../autopsy/look/mod.ts";
import type { AutopsyFrame, PreparedV8 } from "../autopsy/look/mod.ts";
import { MASK, isSecretName, maskTarget } from "../base/mod.ts";
import type { MainStack, StackFrame } from "../base/mod.ts";
import { PtraceTracer, readProcessStat } from "../os/mod.ts";

const FRAMES_MAX = 64;
/** Innermost frames of the application whose variables are shown. */
const FRAMES_WITH_VARIABLES = 4;
const VARIABLES_MAX = 16;
const VALUE_CHARACTERS_MAX = 200;
/** A member of an object, as the printer writes it, whose name is that of a secret. */
const MEMBER = /([\w$-]+): ("(?:[^"\\]|\\.)*"?|[^\s,{}]+)/g;
/** Where V8 looks for interrupts in JavaScript (src/execution/stack-guard.cc). */
const INTERRUPT = /\bStackGuard::HandleInterrupts\b/;
/** Where a main thread waits for events (libuv: src/unix/linux.c). */
const EVENTS = /\buv__io_poll\b/;
/** Where a main thread waits that a debugger holds (src/inspector_agent.cc). */
const DEBUGGER_LOOP = /\bNodeInspectorClient::runMessageLoop/;

/** A process that is looked at, perhaps again. */
interface Looked {
  readonly pid: number;
  /** The same as long as the process is. */
  readonly startTicks: number | null;
  readonly live: LiveProcess;
  readonly v8: PreparedV8;
}

/**
 * Looks at processes. What takes time and needs no stop is done once for each of them, before a
 * look is wanted if possible: their binaries' symbols, and what these say of V8.
 */
export class Looker {
  readonly #tracer = new PtraceTracer();
  /** The last one: of each, all names of its binary are kept, some 20 MB. */
  #looked: Looked | null = null;

  /** Reads the binary that the process runs: that of the worker, which may be another Node. */
  prepare(pid: number): void {
    this.#open(pid);
  }

  /** @throws HoldfastError ERR_HOLDFAST_AUTOPSY_*: the system refuses it, or V8 is not known */
  look(pid: number): MainStack {
    const { live, v8: prepared } = this.#open(pid);
    const maps = new SourceMaps(`/proc/${pid}/root`);
    const target = live.stop();
    const from = performance.now();
    try {
      const main = target.threads.find(({ tid }) => tid === pid);
      if (main === undefined) throw new Error("its main thread has ended");
      const v8 = openV8({ ...target, threads: [main] }, prepared);
      const { frames } = new ThreadReader(v8, maps, false, firstOfApplication()).read(main);
      target.close();
      return stackOf(frames, Math.round(10 * (performance.now() - from)) / 10);
    } finally {
      target.close();
    }
  }

  #open(pid: number): Looked {
    const startTicks = readProcessStat(pid)?.startTicks ?? null;
    const known = this.#looked;
    if (known?.pid === pid && known.startTicks === startTicks) return known;
    this.#looked = null;
    known?.live.close();
    const options = { node: null, tracer: this.#tracer, environment: process.env };
    const live = new LiveProcess(pid, options);
    try {
      this.#looked = { pid, startTicks, live, v8: prepareV8(live.executable) };
      return this.#looked;
    } catch (error) {
      live.close();
      throw error;
    }
  }
}

/** The values of others are not shown, and to read them takes most of the time. */
function firstOfApplication(): (location: AutopsyFrame["location"]) => boolean {
  let left = FRAMES_WITH_VARIABLES;
  return (location) => {
    if (location === null || location.file.startsWith("node:") || left === 0) return false;
    left -= 1;
    return true;
  };
}

function stackOf(frames: readonly AutopsyFrame[], heldMs: number): MainStack {
  const own = frames.filter(({ kind, location }) => kind === "javascript" && location !== null);
  let described = 0;
  const shown: StackFrame[] = [];
  for (const frame of own.slice(0, FRAMES_MAX)) {
    const plain = plainFrame(frame);
    const isDescribed = !plain.file.startsWith("node:") && described < FRAMES_WITH_VARIABLES;
    if (isDescribed) described += 1;
    shown.push(isDescribed ? { ...plain, variables: variablesOf(frame) } : plain);
  }
  return {
    state: stateOf(frames),
    frames: shown,
    awaitedBy: frames.flatMap((frame) => {
      if (frame.kind !== "async" || frame.location === null) return [];
      const { name, file, line, column } = plainFrame(frame);
      return [`async ${name === "" ? "(anonymous)" : name} (${file}:${line}:${column})`];
    }),
    requestSeen: null,
    route: null,
    framesMore: Math.max(0, own.length - FRAMES_MAX),
    heldMs,
  };
}

/**
 * What the innermost frames say. The agent may have stopped JavaScript at that moment, or be about
 * to (it is asked at the same time): native code that V8 has called to handle an interrupt is none
 * that the application waits for.
 */
export function stateOf(
  frames: readonly Pick<AutopsyFrame, "kind" | "name">[],
): MainStack["state"] {
  const known = frames.filter(({ kind }) => kind !== "missing");
  if (known[0]?.kind !== "native") return known.length === 0 ? "native" : "running";
  const isIdle = known.every(({ kind }) => kind !== "javascript");
  if (isIdle && known.some(({ name }) => EVENTS.test(name))) return "idle";
  const first = known.findIndex(({ kind }) => kind === "javascript");
  const called = known.slice(0, first < 0 ? undefined : first);
  if (called.some(({ name }) => INTERRUPT.test(name))) return "running";
  return called.some(({ name }) => DEBUGGER_LOOP.test(name)) ? "paused" : "native";
}

function plainFrame({ name, inferredName, original, location }: AutopsyFrame): StackFrame {
  const { file, line, column } = original ?? location ?? { file: "", line: 1, column: 1 };
  const path = file.startsWith("file://") ? decodeURI(file.slice("file://".length)) : file;
  return { name: name === "" ? inferredName : name, file: path, line, column };
}

function variablesOf({
  parameters,
  variables,
}: AutopsyFrame): readonly (readonly [string, string])[] {
  const known = [...parameters, ...variables].filter(({ name, text }) => {
    return name !== "" && !/^<(?:optimised away|not recoverable)/.test(text);
  });
  return known.slice(0, VARIABLES_MAX).map(({ name, text }) => [name, masked(name, text)] as const);
}

function masked(name: string, text: string): string {
  if (isSecretName(name)) return MASK;
  const bare = text.replace(MEMBER, (all, member: string) => {
    return isSecretName(member) ? `${member}: ${MASK}` : all;
  });
  const shown = maskTarget(bare);
  if (shown.length <= VALUE_CHARACTERS_MAX) return shown;
  return `${shown.slice(0, VALUE_CHARACTERS_MAX - 1)}…`;
}
