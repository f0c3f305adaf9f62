/**
 * Where V8 keeps what, as numbers. Three sources, in this order of trust:
 *
 * | source | examples |
 * | --- | --- |
 * | the binary's own metadata (`v8dbg_*`) | fields of String, Script; instance types |
 * | machine code of the binary (isolates.ts) | offsets in IsolateData |
 * | stated here for each V8 version, with a check at load | what the metadata leaves out |
 *
 * Versions: Node 22 is V8 12.4, Node 24 is 13.6, Node 26 is 14.6; within a major of Node they are
 * frozen.
 */
import { HoldfastError } from "../../base/mod.ts";
import type { Metadata } from "./metadata.ts";

/** Frame types of V8 (`StackFrame::Type`), as far as they are told apart here. */
export type FrameTypeName =
  | "Entry"
  | "ConstructEntry"
  | "Exit"
  | "BuiltinExit"
  | "ApiCallbackExit"
  | "Wasm"
  | "WasmExit"
  | "WasmToJs"
  | "JsToWasm"
  | "CWasmEntry"
  | "Internal"
  | "Construct"
  | "FastConstruct"
  | "Builtin"
  | "BuiltinContinuation"
  | "JavaScriptBuiltinContinuation"
  | "JavaScriptBuiltinContinuationWithCatch"
  | "Stub"
  | "TurbofanStubWithContext"
  | "Irregexp"
  | "Native";

/** What the metadata of a version leaves out; each line with where the figure is from. */
interface Stated {
  /** SharedFunctionInfo: trusted function data (`%DebugPrint` of a function; V8 headers). */
  readonly sfiFunctionData: number;
  /** SharedFunctionInfo: untrusted function data; null where there is one field for both. */
  readonly sfiUntrustedData: number | null;
  /** SharedFunctionInfo: unique id aside, `formal_parameter_count`: from metadata. */
  /** Code: deoptimisation data or interpreter data, and the position or offset table. */
  readonly codeDeoptimizationData: number;
  readonly codePositionTable: number;
  /** DeoptimizationData: rows begin here, and have so many words (deoptimization-data.h). */
  readonly deoptFirstEntry: number;
  readonly deoptDeoptExitStart: number;
  /** Safepoint tables begin with the number of stack slots. */
  readonly hasStackSlots: boolean;
  /** Symbol flags: bits of what no program can see (symbol.h; two of them since 14.x). */
  readonly symbolPrivateMask: number;
  /** Interpreter frames: register r0 from the frame pointer. */
  readonly interpreterRegisters: number;
  /**
   * From the Isolate: the allocation areas of the young and of the old generation, each
   * (start, top, limit) (isolate-data.h, `new_allocation_info` and `old_allocation_info`;
   * linear-allocation-area.h). Found in cores: top moves, limit is the end of a page.
   */
  readonly allocationAreas: readonly number[];
}

const STATED: ReadonlyMap<string, Stated> = new Map([
  [
    "12.4",
    {
      sfiFunctionData: 8,
      sfiUntrustedData: null,
      codeDeoptimizationData: 8,
      codePositionTable: 16,
      deoptFirstEntry: 11,
      deoptDeoptExitStart: 8,
      hasStackSlots: false,
      symbolPrivateMask: 1,
      interpreterRegisters: -56,
      allocationAreas: [0xc0, 0xd8],
    },
  ],
  [
    "13.6",
    {
      sfiFunctionData: 8,
      sfiUntrustedData: 16,
      codeDeoptimizationData: 8,
      codePositionTable: 16,
      deoptFirstEntry: 12,
      deoptDeoptExitStart: 9,
      hasStackSlots: true,
      symbolPrivateMask: 1,
      interpreterRegisters: -56,
      allocationAreas: [0xc8, 0xe0],
    },
  ],
  [
    "14.6",
    {
      sfiFunctionData: 8,
      sfiUntrustedData: 16,
      codeDeoptimizationData: 8,
      codePositionTable: 16,
      deoptFirstEntry: 12,
      deoptDeoptExitStart: 9,
      hasStackSlots: true,
      symbolPrivateMask: 3,
      interpreterRegisters: -56,
      allocationAreas: [0xc8, 0xe0],
    },
  ],
]);

/** See the file's docstring. */
export class Layout {
  readonly version: string;
  readonly metadata: Metadata;
  readonly stated: Stated;
  readonly #frameTypes = new Map<number, FrameTypeName>();
  readonly #byPrefix = new Map<string, number | null>();
  readonly #typeNames = new Map<number, string>();

  /** @throws HoldfastError ERR_HOLDFAST_AUTOPSY_VERSION when this V8 is not known. */
  constructor(metadata: Metadata) {
    this.metadata = metadata;
    this.version = metadata.version;
    const stated = STATED.get(metadata.version.split(".").slice(0, 2).join("."));
    if (stated === undefined) {
      const found = metadata.version === "" ? "no V8 version in it" : `V8 ${metadata.version}`;
      throw new HoldfastError(
        "ERR_HOLDFAST_AUTOPSY_VERSION",
        `Cannot read the JavaScript of this process: its binary has ${found}. ` +
          `Known are Node 22 (V8 12.4), Node 24 (13.6) and Node 26 (14.6).`,
      );
    }
    this.stated = stated;
    for (const [name, value] of metadata.constants) {
      const match = /^frametype_(\w+)Frame$/u.exec(name);
      // The metadata has more types than this file tells apart: those are shown by their number.
      if (match?.[1] !== undefined) this.#frameTypes.set(value, match[1] as FrameTypeName);
    }
  }

  /** The type of a typed frame; null for a number that V8 does not use. */
  frameType(value: number): FrameTypeName | null {
    return this.#frameTypes.get(value) ?? null;
  }

  /**
   * A constant of the metadata by the beginning of its name: the end is the C++ type, which changes
   * from version to version.
   *
   * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_VERSION when the binary does not have it
   */
  get(prefix: string): number {
    const value = this.find(prefix);
    if (value !== null) return value;
    throw new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_VERSION",
      `Cannot read the JavaScript of this process: its binary (V8 ${this.version}) does not say ` +
        `where ${prefix} is.`,
    );
  }

  /** The same, or null. An exact name comes first. */
  find(prefix: string): number | null {
    const known = this.#byPrefix.get(prefix);
    if (known !== undefined) return known;
    let found = this.metadata.constants.get(prefix) ?? null;
    // behind the name comes the type: Map__prototype__Object, which is not Map__prototype_info
    for (const start of [`${prefix}__`, `${prefix}_`]) {
      if (found !== null) break;
      for (const [name, value] of this.metadata.constants) {
        if (!name.startsWith(start)) continue;
        found = value;
        break;
      }
    }
    this.#byPrefix.set(prefix, found);
    return found;
  }

  /** The offset of a field: `field("Script", "name")`. */
  field(className: string, name: string): number {
    return this.get(`class_${className}__${name}`);
  }

  /** An instance type: `type("JS_FUNCTION_TYPE")`. */
  type(name: string): number {
    const value = this.findType(name);
    return value ?? this.get(`type_${name}`);
  }

  /** The same, or null. */
  findType(name: string): number | null {
    const key = `type:${name}`;
    const known = this.#byPrefix.get(key);
    if (known !== undefined) return known;
    let found: number | null = null;
    for (const [constant, value] of this.metadata.constants) {
      if (constant.startsWith("type_") && constant.endsWith(`__${name}`)) found = value;
    }
    this.#byPrefix.set(key, found);
    return found;
  }

  /**
   * The name of an instance type (`FIXED_ARRAY_TYPE`); null for one that the metadata leaves out.
   */
  typeName(type: number): string | null {
    if (this.#typeNames.size === 0) {
      for (const [constant, value] of this.metadata.constants) {
        const name = /^type_.*__([A-Z0-9_]+_TYPE)$/u.exec(constant)?.[1];
        if (name !== undefined) this.#typeNames.set(value, name);
      }
    }
    return this.#typeNames.get(type) ?? null;
  }
}
