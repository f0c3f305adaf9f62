/**
 * Functions and their scripts: names, source, and which line and column a character is at.
 *
 * ```
 *   JSFunction --> SharedFunctionInfo --> Script --> source
 *       |              |      `-- name, or ScopeInfo --> name
 *       |              `-- bytecode, perhaps behind baseline code or InterpreterData
 *       `-- context
 * ```
 */
import type { HeapView } from "./heap-view.ts";
import { readScopeInfo } from "./scope-info.ts";
import type { ScopeInfo } from "./scope-info.ts";
import { CLEARED, isSmi } from "./tagged.ts";
import type { Tagged } from "./tagged.ts";

/** Characters of a script that are looked at; bundles have some ten million. */
const SOURCE_CHARS_MAX = 128 * 1024 * 1024;
/** Sources that are kept at a time, with their lines. */
const SCRIPTS_KEPT_MAX = 64;
const WRAPPED_PARAMETERS_MAX = 64;
/** What ends a line of a script: ECMA-262 12.3. */
const LINE_TERMINATOR = /\r\n|[\n\r\u2028\u2029]/gu;

export interface ScriptView {
  readonly address: Tagged;
  /** File name or URL; empty for an eval. */
  readonly name: string;
  readonly source: string | null;
  /** SharedFunctionInfo of the code that called eval; CLEARED for a script that is no eval. */
  readonly evalCaller: Tagged;
  readonly evalPosition: number;
  /**
   * Parameters of a function that was compiled from a whole file (`compileFunction`), as the
   * modules
   * of CommonJS are; null: an ordinary script.
   */
  readonly wrappedParameters: readonly string[] | null;
}

export interface LineColumn {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** Reads functions; keeps the scripts that it has read. */
export class FunctionReader {
  readonly #heap: HeapView;
  readonly #scripts = new Map<Tagged, ScriptView>();
  readonly #lineStarts = new Map<Tagged, readonly number[]>();

  constructor(heap: HeapView) {
    this.#heap = heap;
  }

  /** The SharedFunctionInfo of a function; CLEARED when it is none. */
  sharedOf(jsFunction: Tagged): Tagged {
    const heap = this.#heap;
    if (!heap.isFunction(jsFunction)) return CLEARED;
    const shared = heap.tagged(jsFunction, heap.layout.field("JSFunction", "shared"));
    return this.isShared(shared) ? shared : CLEARED;
  }

  isShared(shared: Tagged): boolean {
    return this.#heap.isOfType(shared, "SHARED_FUNCTION_INFO_TYPE");
  }

  contextOf(jsFunction: Tagged): Tagged {
    return this.#heap.tagged(jsFunction, this.#heap.layout.field("JSFunction", "context"));
  }

  scopeInfoOf(shared: Tagged): ScopeInfo | null {
    const field = this.#heap.layout.field("SharedFunctionInfo", "name_or_scope_info");
    return readScopeInfo(this.#heap, this.#heap.tagged(shared, field));
  }

  /** Characters [start, end) of its script, also of a function that was never compiled. */
  rangeOf(shared: Tagged): { readonly start: number; readonly end: number } | null {
    const heap = this.#heap;
    const { layout } = heap;
    const known = this.scopeInfoOf(shared)?.range ?? null;
    if (known !== null) return known;
    for (const place of [layout.stated.sfiFunctionData, layout.stated.sfiUntrustedData]) {
      const data = place < 0 ? CLEARED : heap.tagged(shared, place);
      const type = layout.typeName(heap.instanceTypeOf(data));
      if (type === null || !type.startsWith("UNCOMPILED_DATA")) continue;
      const start = heap.unsigned(data, layout.field("UncompiledData", "start_position"), 4);
      return { start, end: heap.unsigned(data, layout.field("UncompiledData", "end_position"), 4) };
    }
    return null;
  }

  /** `SharedFunctionInfo::Name`, or what V8 inferred; empty for a function without a name. */
  nameOf(shared: Tagged): string {
    const heap = this.#heap;
    const value = heap.tagged(
      shared,
      heap.layout.field("SharedFunctionInfo", "name_or_scope_info"),
    );
    if (isSmi(value) || value === CLEARED) return "";
    if (heap.isString(value)) return heap.string(value) ?? "";
    const scopeInfo = readScopeInfo(heap, value);
    if (scopeInfo === null) return "";
    return scopeInfo.functionName;
  }

  /** Parameters that the source declares, without the receiver; null when not sane. */
  parameterCountOf(shared: Tagged): number | null {
    const field = this.#heap.layout.field("SharedFunctionInfo", "internal_formal_parameter_count");
    const count = this.#heap.unsigned(shared, field, 2);
    return count === 0 || count === 0xffff ? null : count - 1;
  }

  scriptOf(shared: Tagged): ScriptView | null {
    const heap = this.#heap;
    const script = heap.tagged(shared, heap.layout.field("SharedFunctionInfo", "script"));
    return this.script(script);
  }

  script(script: Tagged): ScriptView | null {
    const known = this.#scripts.get(script);
    if (known !== undefined) return known;
    const heap = this.#heap;
    const { layout } = heap;
    if (!heap.isOfType(script, "SCRIPT_TYPE")) return null;
    const caller = heap.tagged(
      script,
      layout.field("Script", "eval_from_shared_or_wrapped_arguments"),
    );
    const view: ScriptView = {
      address: script,
      name: heap.string(heap.tagged(script, layout.field("Script", "name")), 4096) ?? "",
      source: heap.string(heap.tagged(script, layout.field("Script", "source")), SOURCE_CHARS_MAX),
      evalCaller: this.isShared(caller) ? caller : CLEARED,
      wrappedParameters: this.#wrapped(caller),
      evalPosition: heap.smi(script, layout.field("Script", "eval_from_position")) ?? 0,
    };
    if (this.#scripts.size >= SCRIPTS_KEPT_MAX) {
      this.#scripts.clear();
      this.#lineStarts.clear();
    }
    this.#scripts.set(script, view);
    return view;
  }

  #wrapped(list: Tagged): readonly string[] | null {
    const heap = this.#heap;
    if (!heap.isOfType(list, "FIXED_ARRAY_TYPE")) return null;
    const count = Math.min(heap.arrayLength(list), WRAPPED_PARAMETERS_MAX);
    return Array.from(
      { length: count },
      (_, index) => heap.string(heap.arrayItem(list, index), 1000) ?? "?",
    );
  }

  /** @returns null when the source is not there, or shorter than that */
  lineColumn(script: ScriptView, position: number): LineColumn | null {
    const { source } = script;
    if (source === null || position < 0 || position > source.length) return null;
    let starts = this.#lineStarts.get(script.address);
    if (starts === undefined) {
      starts = lineStarts(source);
      this.#lineStarts.set(script.address, starts);
    }
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    const heap = this.#heap;
    const { scriptLineOffset, scriptColumnOffset } = heap.layout.stated;
    const lineOffset = heap.smi(script.address, scriptLineOffset) ?? 0;
    const columnOffset = low === 1 ? (heap.smi(script.address, scriptColumnOffset) ?? 0) : 0;
    const column = position - (starts[low - 1] ?? 0) + 1 + columnOffset;
    return { line: low + lineOffset, column };
  }

  /** The bytecode of a function; CLEARED when it was never compiled or has been thrown away. */
  bytecodeOf(shared: Tagged): Tagged {
    const heap = this.#heap;
    const { stated } = heap.layout;
    const places = [stated.sfiFunctionData, stated.sfiUntrustedData];
    for (const place of places) {
      if (place < 0) continue;
      const found = this.#bytecodeFrom(heap.tagged(shared, place), 0);
      if (found !== CLEARED) return found;
    }
    return CLEARED;
  }

  /**
   * Through baseline code and the debugger's InterpreterData, whose first field is the bytecode.
   */
  #bytecodeFrom(data: Tagged, depth: number): Tagged {
    const heap = this.#heap;
    const type = heap.instanceTypeOf(data);
    if (type < 0 || depth > 3) return CLEARED;
    if (type === heap.layout.type("BYTECODE_ARRAY_TYPE")) return data;
    if (type === heap.layout.type("CODE_TYPE")) {
      const interpreterData = heap.layout.stated.codeDeoptimizationData;
      return this.#bytecodeFrom(heap.tagged(data, interpreterData), depth + 1);
    }
    if (type === heap.layout.type("INTERPRETER_DATA_TYPE")) {
      for (const offset of [8, 16]) {
        const found = this.#bytecodeFrom(heap.tagged(data, offset), depth + 1);
        if (found !== CLEARED) return found;
      }
    }
    return CLEARED;
  }
}

function lineStarts(source: string): readonly number[] {
  const starts = [0];
  for (const { index, 0: terminator } of source.matchAll(LINE_TERMINATOR)) {
    starts.push(index + terminator.length);
  }
  return starts;
}
