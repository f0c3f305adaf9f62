/**
 * Where V8 keeps what, as numbers. Three sources, in this order of trust:
 *
 * | source | examples |
 * | --- | --- |
 * | the binary's own metadata (`v8dbg_*`) | fields of String, Script; instance types |
 * | machine code of the binary (isolates.ts) | offsets in IsolateData |
 * | the table of this V8 version (layouts/), with checks at load (self-test.ts) | the rest |
 *
 * Versions: Node 22 is V8 12.4, Node 24 is 13.6, Node 26 is 14.6; within a major of Node they are
 * frozen.
 */
import { HoldfastError } from "../../base/mod.ts";
import { valuesOf } from "./layout-table.ts";
import type { LayoutTable, Stated } from "./layout-table.ts";
import { LAYOUTS } from "./layouts/all.ts";
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

/** Which table is read with, and how that was decided. */
export interface LayoutChoice {
  readonly table: LayoutTable;
  readonly stated: Stated;
  /** True: made for this very version; false: for the one nearest to it. */
  readonly isExact: boolean;
}

/**
 * The table for a version of V8: its own, else the nearest one, which then must pass every check
 * (self-test.ts) before anything is said.
 *
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_VERSION when it is no V8, or older than all tables.
 */
export function chooseLayout(
  { version }: Pick<Metadata, "version">,
  tables: readonly LayoutTable[] = LAYOUTS,
): LayoutChoice {
  const [major, minor] = version.split(".").map(Number);
  const order = (text: string): number => {
    const [one = 0, two = 0] = text.split(".").map(Number);
    return one * 100 + two;
  };
  const wanted = order(`${major}.${minor}`);
  const sorted = tables.toSorted(
    (a, b) => Math.abs(order(a.version) - wanted) - Math.abs(order(b.version) - wanted),
  );
  const [nearest] = sorted;
  const oldest = Math.min(...LAYOUTS.map((table) => order(table.version)));
  if (nearest === undefined || !Number.isFinite(wanted) || wanted < oldest) {
    const found = version === "" ? "no V8 version in it" : `V8 ${version}`;
    throw new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_VERSION",
      `Cannot read the JavaScript of this process: its binary has ${found}. ` +
        `Known are ${LAYOUTS.map(knownText).join(", ")}.`,
    );
  }
  const isExact = order(nearest.version) === wanted;
  return { table: nearest, stated: valuesOf(nearest), isExact };
}

function knownText({ version, from }: LayoutTable): string {
  return `Node ${from.node.split(".")[0]} (V8 ${version})`;
}

/**
 * Types that the metadata leaves out, by where they lie: as V8 numbers them, which is by the class
 * that they extend, then by their names (generated from the .tq files as instance-types.h; looked
 * up in objects of each kind, and in V8's own snapshots, of 12.4, 13.6 and 14.6).
 */
const UNNAMED: readonly (readonly [
  neighbour: string,
  distance: number,
  names: readonly string[],
])[] = [
  ["PROMISE_RESOLVE_THENABLE_JOB_TASK_TYPE", 1, ["LOAD_HANDLER_TYPE", "STORE_HANDLER_TYPE"]],
  [
    "FIXED_ARRAY_TYPE",
    1,
    [
      "HASH_TABLE_TYPE",
      "EPHEMERON_HASH_TABLE_TYPE",
      "GLOBAL_DICTIONARY_TYPE",
      "NAME_DICTIONARY_TYPE",
      "NAME_TO_INDEX_HASH_TABLE_TYPE",
      "NUMBER_DICTIONARY_TYPE",
      "ORDERED_HASH_MAP_TYPE",
      "ORDERED_HASH_SET_TYPE",
      "ORDERED_NAME_DICTIONARY_TYPE",
      "REGISTERED_SYMBOL_TABLE_TYPE",
    ],
  ],
  ["BYTE_ARRAY_TYPE", -1, ["SIMPLE_NUMBER_DICTIONARY_TYPE"]],
  ["WEAK_FIXED_ARRAY_TYPE", 1, ["TRANSITION_ARRAY_TYPE"]],
  ["FEEDBACK_VECTOR_TYPE", -1, ["FEEDBACK_METADATA_TYPE"]],
  ["FEEDBACK_VECTOR_TYPE", 1, ["FILLER_TYPE", "FREE_SPACE_TYPE", "HOLE_TYPE"]],
];

/** See the file's docstring. */
export class Layout {
  readonly version: string;
  readonly metadata: Metadata;
  readonly stated: Stated;
  readonly choice: LayoutChoice;
  /** Constants of the table's own binary that this binary lacks or has otherwise. */
  readonly differences: readonly string[];
  readonly #frameTypes = new Map<number, FrameTypeName>();
  readonly #byPrefix = new Map<string, number | null>();
  readonly #typeNames = new Map<number, string>();
  /** By the names that were asked for: to put texts together for each object takes long. */
  readonly #types = new Map<string, number | null>();
  readonly #fields = new Map<string, Map<string, number>>();

  /** @throws HoldfastError ERR_HOLDFAST_AUTOPSY_VERSION when this V8 is not known. */
  constructor(metadata: Metadata, choice: LayoutChoice = chooseLayout(metadata)) {
    this.metadata = metadata;
    this.version = metadata.version;
    this.choice = choice;
    this.stated = choice.stated;
    this.differences = Object.entries(choice.table.metadata).flatMap(([name, value]) =>
      metadata.constants.get(name) === value ? [] : [name],
    );
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
    let fields = this.#fields.get(className);
    if (fields === undefined) this.#fields.set(className, (fields = new Map()));
    let offset = fields.get(name);
    if (offset === undefined) fields.set(name, (offset = this.get(`class_${className}__${name}`)));
    return offset;
  }

  /** An instance type: `type("JS_FUNCTION_TYPE")`. */
  type(name: string): number {
    const value = this.findType(name);
    return value ?? this.get(`type_${name}`);
  }

  /** The same, or null. */
  findType(name: string): number | null {
    const known = this.#types.get(name);
    if (known !== undefined) return known;
    let found: number | null = null;
    for (const [constant, value] of this.metadata.constants) {
      if (constant.startsWith("type_") && constant.endsWith(`__${name}`)) found = value;
    }
    this.#types.set(name, found);
    return found;
  }

  /** The name of an instance type (`FIXED_ARRAY_TYPE`); null for one that nobody has named. */
  typeName(type: number): string | null {
    if (this.#typeNames.size === 0) {
      for (const [constant, value] of this.metadata.constants) {
        const name = /^type_.*__([A-Z0-9_]+_TYPE)$/u.exec(constant)?.[1];
        if (name !== undefined) this.#typeNames.set(value, name);
      }
      for (const [neighbour, distance, names] of UNNAMED) {
        const beside = this.findType(neighbour);
        for (const [index, name] of names.entries()) {
          const type = (beside ?? Number.NaN) + distance + index;
          if (beside !== null && !this.#typeNames.has(type)) this.#typeNames.set(type, name);
        }
      }
    }
    return this.#typeNames.get(type) ?? null;
  }
}
