/** One look at the main thread of a process from outside: it is stopped for some milliseconds. */
import { SourceMaps, ThreadReader, openTarget, openV8, prepareV8 } from "../autopsy/mod.ts";
import type { AutopsyFrame, PreparedV8, Target } from "../autopsy/mod.ts";
import { MASK, isSecretName, maskTarget } from "../base/mod.ts";
import type { MainStack, StackFrame } from "../base/mod.ts";
import { PtraceTracer } from "../os/mod.ts";

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

/** Looks at processes; what their binaries say of V8 is read once, before a look is wanted. */
export class Looker {
  readonly #prepared = new Map<string, PreparedV8>();
  readonly #tracer = new PtraceTracer();

  /** See PtraceTracer. */
  get isHolding(): boolean {
    return this.#tracer.isHolding;
  }

  /** Reads the binary that the process runs. */
  prepare(pid: number): void {
    const target = openTarget(process.pid, { tracer: NOBODY, node: `/proc/${pid}/exe` });
    try {
      this.#of(target);
    } finally {
      target.close();
    }
  }

  /** @throws HoldfastError ERR_HOLDFAST_AUTOPSY_*: the system refuses it, or V8 is not known */
  look(pid: number): MainStack {
    const target = openTarget(pid, { tracer: this.#tracer });
    const from = performance.now();
    try {
      const main = target.threads.find(({ tid }) => tid === pid);
      if (main === undefined) throw new Error("its main thread has ended");
      const v8 = openV8({ ...target, threads: [main] }, this.#of(target));
      const { frames } = new ThreadReader(v8, new SourceMaps(`/proc/${pid}/root`)).read(main);
      target.close();
      return stackOf(frames, Math.round(10 * (performance.now() - from)) / 10);
    } finally {
      target.close();
    }
  }

  #of({ executable }: Target): PreparedV8 {
    const key = executable.buildId ?? executable.path;
    const known = this.#prepared.get(key) ?? prepareV8(executable);
    this.#prepared.set(key, known);
    return known;
  }
}

/** For a look at a binary alone: nobody is stopped. */
const NOBODY = { seize: () => new Map<number, Buffer>(), release: () => undefined };

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
