/**
 * What one frame of V8 stands for: one or, with inlining, several functions, with positions and
 * values.
 *
 * | frame | function | position from | values from |
 * | --- | --- | --- | --- |
 * | interpreter | frame | bytecode offset in the frame, or r9 in a handler | frame |
 * | baseline | frame | return address through the table of offsets | frame |
 * | optimised, at a call | translation of the safepoint | bytecode offsets there | translation |
 * | optimised, on top | position table, inlining | the pc itself | frame; nearest exit, `~` |
 */
import type { Machine } from "../target/machine.ts";
import type { FunctionReader, LineColumn, ScriptView } from "../v8/functions.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { CLEARED } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import type { V8Process } from "../v8/process.ts";
import { bytecodeOffsetOfReturn, isBytecodeStart } from "./bytecode-offsets.ts";
import type { BytecodeSizes } from "./bytecode-offsets.ts";
import { DeoptimizationData } from "./code-objects.ts";
import type { CodeObject } from "./code-objects.ts";
import { NOT_RECOVERABLE, resolveValue } from "./frame-values.ts";
import type { FrameValue } from "./frame-values.ts";
import { mayAssign, signatureAt } from "./parameters.ts";
import { readSafepoints, safepointAt } from "./safepoints.ts";
import { decodeRawPosition, positionAt } from "./source-positions.ts";
import type { PositionFormat } from "./source-positions.ts";
import { operationTableFor, readTranslation } from "./translations.ts";
import type { OperationTable, TranslatedFrame } from "./translations.ts";
import type { RawFrame } from "./walk.ts";

export type Tier = "interpreted" | "baseline" | "maglev" | "turbofan" | "builtin";

export interface NamedValue {
  readonly name: string;
  readonly value: FrameValue;
  /** Probably so, not certainly: the frame was interrupted, or the variable may have changed. */
  readonly isLikely: boolean;
}

export interface JavaScriptFrame {
  readonly tier: Tier;
  readonly shared: Tagged;
  /** The closure; CLEARED when it is not known. */
  readonly closure: Tagged;
  readonly name: string;
  /** What V8 made up for a function without a name: "Module._compile". */
  readonly inferredName: string;
  readonly script: ScriptView | null;
  /** Index of a character in the script; null: not known. */
  readonly position: number | null;
  readonly lineColumn: LineColumn | null;
  readonly isInlined: boolean;
  readonly receiver: NamedValue | null;
  readonly parameters: readonly NamedValue[];
}

const ARGUMENTS = 16;
const FUNCTION = -16;
const ARGUMENT_COUNT = -24;
const BYTECODE_ARRAY = -32;
const BYTECODE_OFFSET = -40;
/** BytecodeArray: source positions, behind length and wrapper (bytecode-array.tq). */
const ARGUMENTS_MAX = 64;
const PARAMETERS_MAX = 32;
const INLINING_DEPTH_MAX = 100;
/** Eager exits are `call` through a table: 4 bytes each (Deoptimizer::kEagerDeoptExitSize, x64). */
const EAGER_EXIT_BYTES = 4;
const JUMP_SCAN_BYTES = 128;
/** Safepoints of the largest functions take some 100 kB. */
const METADATA_BYTES_MAX = 16 * 1024 * 1024;
const BYTECODE_ROWS = 3;
const BYTECODE_BYTES_MAX = 16 * 1024 * 1024;

interface ParameterNames {
  readonly names: readonly string[];
  /** Source behind the parameter list. */
  readonly body: string;
  /**
   * Whether the parameter lives in a context, because a closure uses it, and may be assigned to:
   * the
   * frame then has what was passed, not what it is now.
   */
  readonly hasMoved: (name: string) => boolean;
}

export class JavaScriptFrameReader {
  readonly #heap: HeapView;
  readonly #machine: Machine;
  readonly #functions: FunctionReader;
  readonly #format: PositionFormat;
  readonly #sizes: BytecodeSizes | null;
  readonly #operations: OperationTable | null;

  constructor({ target, heap, functions, layout }: V8Process) {
    this.#heap = heap;
    this.#machine = target.machine;
    this.#functions = functions;
    const { bytecodeSizes, translationOperands, hasBreakablePositions } = layout.metadata;
    this.#format = hasBreakablePositions ? "flags" : "sign";
    this.#sizes =
      bytecodeSizes === null
        ? null
        : { count: Math.floor(bytecodeSizes.length / BYTECODE_ROWS), sizes: bytecodeSizes };
    this.#operations = translationOperands === null ? null : operationTableFor(translationOperands);
  }

  /** Innermost first; empty for a frame that is none of JavaScript's. */
  read(frame: RawFrame): readonly JavaScriptFrame[] {
    const { fp, code, builtin } = frame;
    if (fp === null || frame.type !== null) return [];
    if (code === null) return this.#unoptimized(frame, fp, builtin);
    if (code.kind === "baseline") return this.#unoptimized(frame, fp, null);
    if (code.kind !== "maglev" && code.kind !== "turbofan") return [];
    return this.#optimized(frame, fp, code);
  }

  #unoptimized(frame: RawFrame, fp: number, builtin: string | null): readonly JavaScriptFrame[] {
    const heap = this.#heap;
    const closure = heap.tagged(fp, FUNCTION);
    const shared = this.#functions.sharedOf(closure);
    if (shared === CLEARED) return [];
    const bytecode = heap.tagged(fp, BYTECODE_ARRAY);
    const isBytecode = heap.isOfType(bytecode, "BYTECODE_ARRAY_TYPE");
    const script = this.#functions.scriptOf(shared);
    const tier: Tier = frame.code !== null ? "baseline" : isBytecode ? "interpreted" : "builtin";
    const base = { shared, closure, isInlined: false, script, inferredName: "" };
    const values = this.#passed(fp, shared, script, tier);
    if (script === null || !isBytecode) {
      const name = builtinName(builtin ?? "", this.#functions.nameOf(shared));
      return [{ ...base, ...values, tier: "builtin", name, position: null, lineColumn: null }];
    }
    const offset =
      frame.code === null
        ? this.#interpreterOffset(frame, fp, bytecode)
        : this.#baselineOffset(frame, frame.code, bytecode);
    const position = offset === null ? null : this.#bytecodePosition(shared, bytecode, offset);
    return [this.#frame({ ...base, ...values, tier, name: "", position, lineColumn: null })];
  }

  /** Name and line of a frame whose function and position are known. */
  #frame(frame: JavaScriptFrame): JavaScriptFrame {
    const { script, position, shared } = frame;
    const lineColumn =
      script === null || position === null ? null : this.#functions.lineColumn(script, position);
    const name = this.#functions.nameOf(shared);
    const inferredName = this.#functions.scopeInfoOf(shared)?.inferredName ?? "";
    return { ...frame, name, inferredName, lineColumn };
  }

  /** Raw offsets count from the tagged start of the array (`BytecodeArray::kHeaderSize - 1`). */
  #interpreterOffset(frame: RawFrame, fp: number, bytecode: Tagged): number | null {
    const heap = this.#heap;
    const header = heap.layout.field("BytecodeArray", "data") - 1;
    const length = heap.smi(bytecode, heap.layout.field("BytecodeArray", "length")) ?? 0;
    const within = (offset: number): number | null =>
      offset >= -1 && offset < length ? offset : null;
    // The handler on top keeps array and offset in registers.
    if (frame.handler?.byName.get("r12") === bytecode + 1) {
      const raw = frame.handler.byName.get("r9") ?? 0;
      const exact = within(raw - header);
      if (exact !== null && this.#isBytecode(bytecode, exact, length)) return exact;
    }
    const saved = heap.smi(fp, BYTECODE_OFFSET);
    return saved === null ? null : within(saved - header);
  }

  #bytes(bytecode: Tagged, length: number): Buffer | null {
    const data = bytecode + this.#heap.layout.field("BytecodeArray", "data");
    return this.#heap.memory.read(data, Math.max(0, Math.min(length, BYTECODE_BYTES_MAX)));
  }

  #isBytecode(bytecode: Tagged, offset: number, length: number): boolean {
    const bytes = this.#bytes(bytecode, length);
    return bytes !== null && this.#sizes !== null && isBytecodeStart(bytes, this.#sizes, offset);
  }

  #baselineOffset(frame: RawFrame, code: CodeObject, bytecode: Tagged): number | null {
    if (this.#sizes === null) return null;
    const heap = this.#heap;
    const { layout } = heap;
    const length = heap.smi(bytecode, layout.field("BytecodeArray", "length")) ?? 0;
    const bytes = this.#bytes(bytecode, length);
    if (bytes === null) return null;
    // A pc on top has not run its instruction: the piece that holds the byte behind it.
    const offset = frame.pc - code.start + (frame.isTop ? 1 : 0);
    const table = heap.byteArray(code.positionTable);
    return bytecodeOffsetOfReturn(table, bytes, this.#sizes, offset);
  }

  #bytecodePosition(shared: Tagged, bytecode: Tagged, offset: number): number | null {
    const heap = this.#heap;
    const table = heap.byteArray(heap.tagged(bytecode, heap.layout.stated.bytecodePositions));
    const found = positionAt(table, this.#format, offset);
    if (found !== null) return found.scriptOffset;
    return offset < 0 ? (this.#functions.scopeInfoOf(shared)?.range?.start ?? null) : null;
  }

  /**
   * Receiver and arguments as the caller passed them; interpreter and baseline keep them current.
   */
  #passed(
    fp: number,
    shared: Tagged,
    script: ScriptView | null,
    tier: Tier,
  ): Pick<JavaScriptFrame, "receiver" | "parameters"> {
    const heap = this.#heap;
    const count = heap.word(fp, ARGUMENT_COUNT);
    if (count < 1 || count > 65_535) return { receiver: null, parameters: [] };
    const valueAt = (index: number): FrameValue => {
      const tagged = heap.tagged(fp, ARGUMENTS + 8 * index);
      return tagged === CLEARED ? NOT_RECOVERABLE : { kind: "tagged", tagged };
    };
    const isCurrent = tier === "interpreted" || tier === "baseline";
    const receiver = { name: "this", value: valueAt(0), isLikely: false };
    const names = this.#parameterNames(shared, script);
    const total = Math.min(Math.max(count - 1, names.names.length), ARGUMENTS_MAX);
    const parameters = Array.from({ length: total }, (_, index) => {
      const name = names.names[index];
      const isLikely = isCurrent
        ? name !== undefined && names.hasMoved(name)
        : name === undefined || mayAssign(names.body, name);
      return { name: name ?? `[${index}]`, value: valueAt(index + 1), isLikely };
    });
    return { receiver, parameters };
  }

  #parameterNames(shared: Tagged, script: ScriptView | null): ParameterNames {
    const scopeInfo = this.#functions.scopeInfoOf(shared);
    const range = scopeInfo?.range;
    const source = script?.source;
    if (range === null || range === undefined || source === null || source === undefined) {
      return { names: [], body: "", hasMoved: () => false };
    }
    if (script?.wrappedParameters !== null && range.start === 0 && range.end >= source.length) {
      return { names: script?.wrappedParameters ?? [], body: source, hasMoved: () => false };
    }
    const { parameters, end } = signatureAt(source, range.start);
    const names = parameters
      .filter(({ isRest }) => !isRest)
      .slice(0, PARAMETERS_MAX)
      .map(({ name }) => name);
    const declared = this.#functions.parameterCountOf(shared);
    const body = source.slice(end, range.end);
    return {
      names: declared === null ? names : names.slice(0, declared),
      body,
      hasMoved: (name) =>
        scopeInfo?.contextLocals?.includes(name) !== false && mayAssign(body, name),
    };
  }

  #optimized(frame: RawFrame, fp: number, code: CodeObject): readonly JavaScriptFrame[] {
    const data = new DeoptimizationData(this.#heap, code.deoptimizationData);
    const pcOffset = frame.pc - code.start;
    const safepoint = frame.isTop ? undefined : this.#safepoint(code, data, pcOffset);
    if (safepoint !== undefined && safepoint.deoptIndex >= 0) {
      const frames = this.#translated(frame, fp, code, data, safepoint.deoptIndex);
      if (frames.length > 0) return frames;
    }
    return this.#byPositions(frame, fp, code, data);
  }

  #safepoint(code: CodeObject, data: DeoptimizationData, pcOffset: number) {
    const hasStackSlots = this.#heap.layout.stated.hasStackSlots === 1;
    const length = Math.min(code.handlerTableOffset, code.metadataBytes);
    if (length > METADATA_BYTES_MAX) return undefined;
    const bytes = this.#heap.memory.read(code.start + code.bytes, length);
    if (bytes === null || code.kind === "baseline") return undefined;
    const kind = code.kind === "maglev" ? "maglev" : "turbofan";
    const bounds = { codeBytes: code.bytes, deoptCount: data.count };
    const table = readSafepoints(bytes, kind, { hasStackSlots }, bounds);
    return table === null ? undefined : safepointAt(table, pcOffset);
  }

  #readTranslation(data: DeoptimizationData, point: number): readonly TranslatedFrame[] | null {
    const index = data.translationIndex(point);
    if (this.#operations === null || index < 0) return null;
    return readTranslation(this.#operations, data.translations, index);
  }

  /** The frames of a deoptimisation point. */
  #translated(
    frame: RawFrame,
    fp: number,
    code: CodeObject,
    data: DeoptimizationData,
    point: number,
  ): readonly JavaScriptFrame[] {
    const frames = this.#readTranslation(data, point);
    if (frames === null) return [];
    const found: JavaScriptFrame[] = [];
    for (const [index, translated] of frames.entries()) {
      if (translated.kind === "other") continue;
      const shared = data.literal(translated.functionLiteral);
      if (!this.#functions.isShared(shared)) continue;
      found.unshift(
        this.#translatedFrame(frame, fp, code, data, frames, translated, shared, index > 0),
      );
    }
    return found;
  }

  #translatedFrame(
    frame: RawFrame,
    fp: number,
    code: CodeObject,
    data: DeoptimizationData,
    frames: readonly TranslatedFrame[],
    translated: TranslatedFrame,
    shared: Tagged,
    isInlined: boolean,
  ): JavaScriptFrame {
    const registers = frame.isTop ? frame.registers : null;
    const source = { heap: this.#heap, machine: this.#machine, fp, registers, data, frames };
    const script = this.#functions.scriptOf(shared);
    const { names, hasMoved } = this.#parameterNames(shared, script);
    const isLikely = frame.isTop;
    const [closureValue, receiverValue, ...rest] = translated.values;
    const closure = closureValue === undefined ? null : resolveValue(source, closureValue);
    const receiver = receiverValue === undefined ? null : resolveValue(source, receiverValue);
    const base: JavaScriptFrame = {
      tier: code.kind === "maglev" ? "maglev" : "turbofan",
      shared,
      closure: closure?.kind === "tagged" ? closure.tagged : CLEARED,
      name: this.#functions.nameOf(shared),
      inferredName: "",
      script,
      position: null,
      lineColumn: null,
      isInlined,
      receiver: receiver === null ? null : { name: "this", value: receiver, isLikely },
      parameters: [],
    };
    if (translated.kind === "javascript builtin" || script === null) {
      const name = builtinName("", base.name);
      return { ...base, tier: "builtin", name, receiver: null };
    }
    const parameters = names.map((name, index) => {
      const value = rest[index];
      const resolved = value === undefined ? NOT_RECOVERABLE : resolveValue(source, value);
      return { name, value: resolved, isLikely: isLikely || hasMoved(name) };
    });
    const bytecode = this.#functions.bytecodeOf(shared);
    const position = this.#bytecodePosition(shared, bytecode, translated.bytecodeOffset);
    return this.#frame({ ...base, parameters, position });
  }

  /**
   * An interrupted frame, or one without a safepoint: function by function from the position table.
   */
  #byPositions(
    frame: RawFrame,
    fp: number,
    code: CodeObject,
    data: DeoptimizationData,
  ): readonly JavaScriptFrame[] {
    const heap = this.#heap;
    const outer = data.shared;
    if (!this.#functions.isShared(outer)) return [];
    const tier: Tier = code.kind === "maglev" ? "maglev" : "turbofan";
    const table = heap.byteArray(code.positionTable);
    const offset = frame.pc - code.start - (frame.isTop ? 0 : 1);
    const start = positionAt(table, this.#format, offset);
    const likely = frame.isTop ? this.#nearestExit(frame, code, data) : null;
    const found: JavaScriptFrame[] = [];
    let inliningId = start?.inliningId ?? -1;
    let position = start?.scriptOffset ?? null;
    for (let depth = 0; inliningId >= 0 && depth < INLINING_DEPTH_MAX; depth += 1) {
      const inlining = data.inlining(inliningId);
      if (inlining === null) return [];
      const shared = data.literal(inlining.functionLiteral);
      if (!this.#functions.isShared(shared)) return [];
      const at = { tier, shared, position, isInlined: true };
      found.push(this.#positioned(at, this.#likelyFrame(frame, fp, data, likely, shared)));
      const outward = decodeRawPosition(inlining.rawPosition);
      position = outward?.scriptOffset ?? null;
      inliningId = outward?.inliningId ?? -1;
    }
    const closure = heap.tagged(fp, FUNCTION);
    const isMade = this.#functions.sharedOf(closure) === outer;
    const script = this.#functions.scriptOf(outer);
    const values = isMade ? this.#passed(fp, outer, script, tier) : null;
    const at = { tier, shared: outer, position, isInlined: false };
    found.push({ ...this.#positioned(at, values), closure: isMade ? closure : CLEARED });
    return found;
  }

  #positioned(
    at: Pick<JavaScriptFrame, "tier" | "shared" | "position" | "isInlined">,
    values: Pick<JavaScriptFrame, "receiver" | "parameters"> | null,
  ): JavaScriptFrame {
    const script = this.#functions.scriptOf(at.shared);
    const none = this.#parameterNames(at.shared, script).names.map((name) => ({
      name,
      value: NOT_RECOVERABLE,
      isLikely: false,
    }));
    const filled = values ?? { receiver: null, parameters: none };
    const base = { closure: CLEARED, name: "", inferredName: "", script, lineColumn: null };
    return this.#frame({ ...base, ...at, ...filled });
  }

  /** Values of an inlined function by the exit that is nearest: likely, not certain. */
  #likelyFrame(
    frame: RawFrame,
    fp: number,
    data: DeoptimizationData,
    frames: readonly TranslatedFrame[] | null,
    shared: Tagged,
  ): Pick<JavaScriptFrame, "receiver" | "parameters"> | null {
    const translated = frames?.find(
      ({ kind, functionLiteral }) =>
        kind === "interpreted" && data.literal(functionLiteral) === shared,
    );
    if (frames === null || translated === undefined) return null;
    const { registers } = frame;
    const source = { heap: this.#heap, machine: this.#machine, fp, registers, data, frames };
    const { names } = this.#parameterNames(shared, this.#functions.scriptOf(shared));
    const [, receiver, ...rest] = translated.values;
    const named = (name: string, value: TranslatedFrame["values"][number] | undefined) => ({
      name,
      value: value === undefined ? NOT_RECOVERABLE : resolveValue(source, value),
      isLikely: true,
    });
    return {
      receiver: named("this", receiver),
      parameters: names.map((name, index) => named(name, rest[index])),
    };
  }

  /**
   * The translation of the first conditional jump behind the pc that leads to an eager exit: the
   * state
   * that V8 would leave with, a few instructions on.
   */
  #nearestExit(
    frame: RawFrame,
    code: CodeObject,
    data: DeoptimizationData,
  ): readonly TranslatedFrame[] | null {
    const { start, eagerCount } = data.exits;
    const length = Math.min(JUMP_SCAN_BYTES, code.start + code.bytes - frame.pc);
    const bytes = length < 6 ? null : this.#heap.memory.read(frame.pc, length);
    if (bytes === null || start <= 0) return null;
    for (let at = 0; at + 6 <= bytes.length; at += 1) {
      if (bytes[at] !== 0x0f || ((bytes[at + 1] ?? 0) & 0xf0) !== 0x80) continue;
      const target = frame.pc + at + 6 + bytes.readInt32LE(at + 2) - code.start - start;
      const point = target / EAGER_EXIT_BYTES;
      if (!Number.isInteger(point) || point < 0 || point >= eagerCount) continue;
      return this.#readTranslation(data, point);
    }
    return null;
  }
}

/** `ArrayPrototypeMap` is `Array.prototype.map`. */
function builtinName(builtin: string, name: string): string {
  const method = /^([A-Z]\w*?)Prototype([A-Z]\w*)$/u.exec(builtin);
  if (method?.[1] !== undefined && name !== "") return `${method[1]}.prototype.${name}`;
  return name === "" ? builtin : name;
}
