/**
 * Variables of a frame beyond its parameters.
 *
 * ```
 *   fp-8   context --> ScopeInfo: names      variables that closures use: by name
 *            |previous
 *          context of the closure ...        those of the functions around it
 *   fp-56  r0  r1  r2 ...                    the rest: registers of the interpreter
 * ```
 * What no closure uses lives in a register, and V8 forgets its name when it has compiled the
 * function (only names in contexts are in a ScopeInfo): registers have numbers here. Frames of the
 * interpreter and of Sparkplug have them; optimised code keeps what it needs wherever it likes.
 */
import type { V8Process } from "../v8/process.ts";
import { ObjectReader } from "../v8/objects.ts";
import { readScopeInfo } from "../v8/scope-info.ts";
import { CLEARED, isSmi } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import { ValueReader } from "../v8/values.ts";
import type { JavaScriptFrame, NamedValue } from "./js-frames.ts";

const FRAME_CONTEXT = -8;
const BYTECODE_ARRAY = -32;
const REGISTERS_MAX = 48;
const VARIABLES_MAX = 48;
const CONTEXTS_MAX = 16;
/** A native context has some 300 slots, and no variables of a program. */
const NATIVE_SLOTS_MIN = 200;

export interface Locals {
  readonly variables: readonly NamedValue[];
  readonly registers: readonly NamedValue[];
}

export class LocalsReader {
  readonly #v8: V8Process;
  readonly #objects: ObjectReader;
  readonly #values: ValueReader;

  constructor(v8: V8Process) {
    this.#v8 = v8;
    this.#objects = new ObjectReader(v8.heap, v8.functions);
    this.#values = new ValueReader(this.#objects);
  }

  /** Of a frame that JavaScriptFrameReader has read; `fp`: its frame pointer. */
  read({ tier, closure, isInlined, script }: JavaScriptFrame, fp: number): Locals {
    const { heap, functions } = this.#v8;
    const hasRegisters = tier === "interpreted" || tier === "baseline";
    const outer = closure === CLEARED ? CLEARED : functions.contextOf(closure);
    const first = hasRegisters && !isInlined ? heap.tagged(fp, FRAME_CONTEXT) : outer;
    const registers = hasRegisters ? this.#registers(fp) : [];
    // around Node's own functions are those of whole files of Node
    const end = script?.name.startsWith("node:") === true ? outer : CLEARED;
    return { variables: this.#variables(first, end), registers };
  }

  /** Innermost first; a name that is shadowed is left out. */
  #variables(first: Tagged, end: Tagged): readonly NamedValue[] {
    const { heap, layout } = this.#v8;
    const { contextScopeInfo, contextLocals, contextPrevious } = layout.stated;
    const found = new Map<string, NamedValue>();
    let context = first;
    for (let count = 0; count < CONTEXTS_MAX && heap.isContext(context); count += 1) {
      if (context === end || heap.arrayLength(context) > NATIVE_SLOTS_MIN) break;
      const scope = readScopeInfo(heap, heap.tagged(context, contextScopeInfo));
      for (const [index, name] of (scope?.contextLocals ?? []).entries()) {
        if (found.size >= VARIABLES_MAX) return [...found.values()];
        // V8's own: .generator_object, .this_function
        if (found.has(name) || name === "" || name.startsWith(".")) continue;
        const slot = heap.tagged(context, contextLocals + 8 * index);
        found.set(name, this.#named(name, slot));
      }
      const previous = heap.tagged(context, contextPrevious);
      if (isSmi(previous)) break;
      context = previous;
    }
    return [...found.values()];
  }

  #named(name: string, slot: Tagged): NamedValue {
    const { value, number } = this.#values.variable(slot);
    if (number !== null) return { name, value: { kind: "number", number }, isLikely: false };
    return { name, value: { kind: "tagged", tagged: value }, isLikely: false };
  }

  /** Those that hold a value of the program; the frame size is the function's own. */
  #registers(fp: number): readonly NamedValue[] {
    const { heap, layout } = this.#v8;
    const bytecode = heap.tagged(fp, BYTECODE_ARRAY);
    if (!heap.isOfType(bytecode, "BYTECODE_ARRAY_TYPE")) return [];
    const bytes = heap.unsigned(bytecode, layout.stated.bytecodeFrameSize, 4);
    const count = bytes % 8 === 0 ? Math.min(bytes / 8, REGISTERS_MAX) : 0;
    return Array.from({ length: count }, (_, index): NamedValue => {
      const tagged = heap.taggedAt(fp + layout.stated.interpreterRegisters - 8 * index);
      return { name: `r${index}`, value: { kind: "tagged", tagged }, isLikely: false };
    }).filter(({ value }) => value.kind === "tagged" && this.#isOfProgram(value.tagged));
  }

  /** Contexts, feedback and what was not stored yet are V8's. */
  #isOfProgram(value: Tagged): boolean {
    if (isSmi(value)) return true;
    const { heap, layout } = this.#v8;
    if (value === CLEARED || heap.instanceTypeOf(value) < 0) return false;
    if (this.#objects.oddball(value) !== null) return this.#objects.oddball(value) !== "undefined";
    return (
      this.#objects.isReceiver(value) ||
      heap.isString(value) ||
      heap.isOfType(value, "HEAP_NUMBER_TYPE") ||
      heap.isOfType(value, "SYMBOL_TYPE") ||
      heap.instanceTypeOf(value) === layout.type("SYMBOL_TYPE") + 1
    );
  }
}
