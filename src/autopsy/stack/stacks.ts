/**
 * Stacks of all threads, put together: native frames with their symbols, JavaScript with positions
 * and
 * arguments, and who waits for the lowest async function.
 */
import { MASK, isSecretName } from "../../base/mod.ts";
import { machineRemarks } from "../target/machine.ts";
import type { TargetThread } from "../target/target.ts";
import type { IsolateView } from "../v8/isolates.ts";
import type { V8Process } from "../v8/process.ts";
import { CLEARED, isSmi } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import { AsyncChainReader } from "./async-chain.ts";
import type { AsyncFrame } from "./async-chain.ts";
import { BriefPrinter } from "./brief.ts";
import { causeOf, hasDied } from "./cause.ts";
import { CodeFinder } from "./code-objects.ts";
import { JavaScriptFrameReader } from "./js-frames.ts";
import type { JavaScriptFrame, NamedValue } from "./js-frames.ts";
import { LocalsReader } from "./locals.ts";
import type { SourceLocation, StackFrame, Stacks, ThreadStack, ValueText } from "./model.ts";
import { readableName, roleOf } from "./names.ts";
import { SourceMaps } from "./source-maps.ts";
import { StackWalker } from "./walk.ts";
import type { RawFrame } from "./walk.ts";
import { WasmCodeReader } from "./wasm-code.ts";
import type { WasmFunction } from "./wasm-code.ts";

/** Frames of one thread that are described; a recursion without end has some 10,000. */
const FRAMES_MAX = 20_000;
/** BuiltinExit: the function is the second word that the caller pushed (frame-constants.h). */
const BUILTIN_EXIT_TARGET = 24;

export interface StackOptions {
  /** Where the paths of the process begin; "/" unless it lives in a container. */
  readonly root?: string;
  /** Texts whose names sound secret are masked unless this is true. */
  readonly areSecretsShown?: boolean;
}

/** Whether the values of a function's frame are read; told where it is, from the top on. */
export type ValueFilter = (location: SourceLocation | null) => boolean;

/** Reads the stacks of a target, in memory of a few megabytes. */
export function readStacks(v8: V8Process, options: StackOptions = {}): Stacks {
  const { target } = v8;
  const { root = "/", areSecretsShown = false } = options;
  const reader = new ThreadReader(v8, new SourceMaps(root), areSecretsShown);
  const threads = target.threads.map((thread) => reader.read(thread));
  return {
    title: target.title,
    pid: target.pid,
    v8: v8.layout.version,
    cause: causeOf(v8, threads),
    threads,
    stoodStillMs: target.stoodStillMs?.() ?? null,
    remarks: [...target.remarks, ...machineRemarks(target.machine)],
  };
}

/** Reads one thread after the other; what is found about code is kept between them. */
export class ThreadReader {
  readonly #v8: V8Process;
  readonly #codes: CodeFinder;
  readonly #frames: JavaScriptFrameReader;
  readonly #printer: BriefPrinter;
  readonly #chains: AsyncChainReader;
  readonly #maps: SourceMaps;
  readonly #locals: LocalsReader;
  readonly #wasm: WasmCodeReader;
  readonly #areSecretsShown: boolean;
  readonly #hasValues: ValueFilter;

  constructor(
    v8: V8Process,
    maps: SourceMaps,
    areSecretsShown = false,
    hasValues: ValueFilter = () => true,
  ) {
    this.#hasValues = hasValues;
    this.#v8 = v8;
    this.#maps = maps;
    this.#locals = new LocalsReader(v8);
    const format = v8.layout.metadata.hasBreakablePositions ? "flags" : "sign";
    this.#wasm = new WasmCodeReader(v8.heap, format);
    this.#areSecretsShown = areSecretsShown;
    this.#codes = new CodeFinder(v8.target, v8.heap);
    this.#frames = new JavaScriptFrameReader(v8);
    this.#printer = new BriefPrinter(v8.heap, v8.functions);
    this.#chains = new AsyncChainReader(v8.heap, v8.functions);
  }

  read(thread: TargetThread): ThreadStack {
    const isolate = this.#v8.isolates.find(({ tid }) => tid === thread.tid) ?? null;
    const { target } = this.#v8;
    const frames: StackFrame[] = [];
    const symbols: string[] = [];
    let resumed: Tagged = CLEARED;
    for (const raw of this.#walk(thread, isolate)) {
      if (frames.length >= FRAMES_MAX) {
        frames.push(missing("deeper frames left out"));
        break;
      }
      if (raw.kind === "native") symbols.push(target.modules.symbolAt(symbolPc(raw))?.name ?? "");
      frames.push(...this.#describe(raw));
      // An await is resumed by a builtin whose closure knows the function that it resumed.
      const isResumer = raw.builtin?.includes("Await") === true && raw.fp !== null;
      if (isResumer && raw.fp !== null && raw.type === null) {
        resumed = this.#v8.heap.tagged(raw.fp, -16);
        frames.push(...this.#chains.below(resumed).map((frame) => this.#asyncFrame(frame)));
      }
    }
    if (frames.length === 0) frames.push(missing("its registers are not there"));
    const isMain = thread.tid === target.pid;
    return {
      tid: thread.tid,
      name: thread.name,
      role: roleOf(symbols, isMain, isolate !== null),
      hasIsolate: isolate !== null,
      isCrashed: hasDied(target.signal) && thread === target.threads[0],
      frames,
      isComplete: !frames.some(({ kind }) => kind === "missing"),
    };
  }

  #walk(thread: TargetThread, isolate: IsolateView | null): Iterable<RawFrame> {
    if (thread.registers === null) return [];
    const walker = new StackWalker(this.#v8.target, this.#v8.heap, this.#codes, isolate);
    return walker.frames(thread.registers);
  }

  #describe(raw: RawFrame): readonly StackFrame[] {
    if (raw.kind === "missing") return [missing(raw.note ?? "frames are missing")];
    if (raw.kind === "native") return [this.#native(raw)];
    const frames = this.#frames.read(raw);
    if (frames.length > 0) return frames.map((frame) => this.#javaScript(frame, raw));
    // the others of its kind are wrappers between it and JavaScript
    if (raw.type === "Wasm" && raw.code === null && raw.builtin === null)
      return this.#webAssembly(raw);
    return [this.#internal(raw)];
  }

  #webAssembly({ fp, pc, isTop }: RawFrame): readonly StackFrame[] {
    const found = fp === null ? [] : this.#wasm.functionsAt(fp, pc, isTop);
    if (found.length === 0) return [{ ...blank("wasm", "a WebAssembly function"), pc }];
    return found.map((each) => wasmFrame(each, pc));
  }

  #native(raw: RawFrame): StackFrame {
    const symbol = this.#v8.target.modules.symbolAt(symbolPc(raw));
    const path = this.#v8.target.modules.locate(raw.pc)?.module.path;
    const name = symbol === null ? (path ?? "") : readableName(symbol.name);
    return { ...blank("native", name), pc: raw.pc };
  }

  #internal(raw: RawFrame): StackFrame {
    const { heap, functions } = this.#v8;
    const { type } = raw;
    if (type === "Irregexp" || raw.code?.kind === "regexp") {
      return { ...blank("regexp", "a regular expression"), pc: raw.pc };
    }
    if (type === "BuiltinExit" && raw.fp !== null) {
      const closure = heap.tagged(raw.fp, BUILTIN_EXIT_TARGET);
      const name = functions.nameOf(functions.sharedOf(closure));
      if (name !== "") return { ...blank("builtin", name), tier: "builtin", closure, pc: raw.pc };
    }
    return { ...blank("internal", raw.builtin ?? type ?? raw.code?.kind ?? ""), pc: raw.pc };
  }

  #javaScript(frame: JavaScriptFrame, { pc, fp }: RawFrame): StackFrame {
    const isOurs = fp !== null && frame.tier !== "builtin";
    const described: StackFrame = {
      ...blank(kindOf(frame), frame.name),
      inferredName: frame.inferredName,
      tier: frame.tier,
      isInlined: frame.isInlined,
      ...this.#locations(frame),
      closure: frame.closure === CLEARED ? null : frame.closure,
      pc,
    };
    if (!this.#hasValues(described.location)) return described;
    const locals = isOurs ? this.#locals.read(frame, fp) : { variables: [], registers: [] };
    return {
      ...described,
      receiver: frame.receiver === null ? null : this.#value(frame.receiver),
      parameters: frame.parameters.map((value) => this.#value(value)),
      variables: locals.variables.map((value) => this.#value(value)),
      registers: locals.registers.map((value) => this.#value(value)),
    };
  }

  #asyncFrame({ shared, position }: AsyncFrame): StackFrame {
    const { functions } = this.#v8;
    const script = functions.scriptOf(shared);
    const lineColumn =
      script === null || position === null ? null : functions.lineColumn(script, position);
    return {
      ...blank("async", functions.nameOf(shared)),
      ...this.#locations({ script, lineColumn }),
    };
  }

  #locations({
    script,
    lineColumn,
  }: Pick<JavaScriptFrame, "script" | "lineColumn">): Pick<StackFrame, "location" | "original"> {
    if (script === null || lineColumn === null) return { location: null, original: null };
    const file = script.name === "" ? this.#evalName(script.evalCaller) : script.name;
    const location: SourceLocation = { file, ...lineColumn };
    return { location, original: this.#maps.original(script, lineColumn) };
  }

  #evalName(caller: Tagged): string {
    if (caller === CLEARED) return "<anonymous>";
    const script = this.#v8.functions.scriptOf(caller);
    return `<eval in ${script?.name ?? "?"}>`;
  }

  #value({ name, value, isLikely }: NamedValue): ValueText {
    const isObject = value.kind === "tagged" && !isSmi(value.tagged) && value.tagged !== CLEARED;
    const text = this.#printer.frameValue(value);
    const isSecret = !this.#areSecretsShown && text.startsWith('"') && isSecretName(name);
    return {
      name,
      text: isSecret ? MASK : text,
      isLikely: isLikely && value.kind !== "unknown",
      address: isObject ? value.tagged : null,
    };
  }
}

/** The wrapper of a WebAssembly function has a script, but no code in it. */
function kindOf({ script, tier, name }: JavaScriptFrame): StackFrame["kind"] {
  if (tier !== "builtin") return "javascript";
  return script !== null || name.includes("Closure") ? "internal" : "builtin";
}

/** A return address may be the first byte behind a function: the call before it counts. */
function symbolPc({ pc, isTop }: RawFrame): number {
  return isTop ? pc : pc - 1;
}

function blank(kind: StackFrame["kind"], name: string): StackFrame {
  return {
    kind,
    name,
    inferredName: "",
    tier: null,
    isInlined: false,
    location: null,
    original: null,
    receiver: null,
    parameters: [],
    variables: [],
    registers: [],
    closure: null,
    pc: null,
    wasm: null,
  };
}

function wasmFrame({ url, index, name, offset, isInlined }: WasmFunction, pc: number): StackFrame {
  const called = name === "" ? `wasm-function[${index}]` : name;
  const wasm = { url, functionIndex: index, byteOffset: offset };
  return { ...blank("wasm", called), isInlined, pc, wasm };
}

function missing(why: string): StackFrame {
  return blank("missing", why);
}
