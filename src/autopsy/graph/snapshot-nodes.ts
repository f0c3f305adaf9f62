/**
 * What an object is called in a heap snapshot, and of which type it is: as V8 names them
 * (heap-snapshot-generator.cc: `V8HeapExplorer::AddEntry`, `GetSystemEntryType`).
 */
import type { MapInfo } from "../heap/maps.ts";
import type { ObjectReader } from "../v8/objects.ts";
import { NATIVE_CONTEXT } from "./live.ts";
import { readScopeInfo } from "../v8/scope-info.ts";
import type { ValueReader } from "../v8/values.ts";

/** In the order of V8's `HeapGraphNode::Type`. */
export const NODE_TYPES = [
  "hidden",
  "array",
  "string",
  "object",
  "code",
  "closure",
  "regexp",
  "number",
  "native",
  "synthetic",
  "concatenated string",
  "sliced string",
  "symbol",
  "bigint",
  "object shape",
] as const;

export type NodeType = (typeof NODE_TYPES)[number];

export interface NodeName {
  readonly type: NodeType;
  readonly name: string;
}

/** `--heap-snapshot-string-limit` of V8. */
const STRING_CHARS_MAX = 1024;
/** Versions of V8 add what is outside of the heap to the size of a string. */
const COUNTED_SINCE = 13;
/** Names of instance types without `_TYPE`, that V8 files under code. */
const CODE_TYPES: ReadonlySet<string> = new Set(
  (
    "ALLOCATION_SITE ARRAY_BOILERPLATE_DESCRIPTION BYTECODE_ARRAY BYTECODE_WRAPPER " +
    "CLOSURE_FEEDBACK_CELL_ARRAY CODE_WRAPPER COVERAGE_INFO DEBUG_INFO FEEDBACK_CELL " +
    "FEEDBACK_METADATA FEEDBACK_VECTOR INTERPRETER_DATA LOAD_HANDLER " +
    "OBJECT_BOILERPLATE_DESCRIPTION PREPARSE_DATA REG_EXP_BOILERPLATE_DESCRIPTION SCOPE_INFO " +
    "STORE_HANDLER TEMPLATE_OBJECT_DESCRIPTION TRUSTED_BYTE_ARRAY " +
    "UNCOMPILED_DATA_WITH_PREPARSE_DATA UNCOMPILED_DATA_WITHOUT_PREPARSE_DATA"
  ).split(" "),
);
/** The same, under object shapes. */
const SHAPE_TYPES: ReadonlySet<string> = new Set([
  "DESCRIPTOR_ARRAY",
  "ENUM_CACHE",
  "PROTOTYPE_INFO",
  "STRONG_DESCRIPTOR_ARRAY",
  "TRANSITION_ARRAY",
]);

/** Names nodes of one process. */
export class NodeNames {
  readonly #objects: ObjectReader;
  readonly #values: ValueReader;
  readonly #firstNonString: number;
  readonly #firstReceiver: number;
  readonly #symbolType: number;
  readonly #arrays: ReadonlySet<number>;
  readonly #areOutsidesCounted: boolean;
  readonly #internal = new Map<number, NodeName>();
  readonly #functions = new Map<number, string>();

  constructor(objects: ObjectReader, values: ValueReader) {
    const { layout } = objects.heap;
    this.#objects = objects;
    this.#values = values;
    this.#firstNonString = layout.get("FirstNonstringType");
    this.#firstReceiver = layout.type("JS_PROXY_TYPE");
    this.#symbolType = layout.type("SYMBOL_TYPE");
    this.#areOutsidesCounted = Number.parseInt(layout.version, 10) >= COUNTED_SINCE;
    const plain = new Set(
      ["FIXED_DOUBLE_ARRAY_TYPE", "BYTE_ARRAY_TYPE"].map((n) => layout.type(n)),
    );
    const first = layout.type("FIXED_ARRAY_TYPE");
    const last = layout.type("BYTE_ARRAY_TYPE");
    for (let type = first; type < last; type += 1) plain.add(type); // hash tables and lists
    this.#arrays = plain;
  }

  of(address: number, map: MapInfo): NodeName {
    const type = map.instanceType;
    if (type < this.#firstNonString) return this.#string(address, map);
    if (type >= this.#firstReceiver) return this.#receiver(address, type);
    if (type === this.#symbolType) return this.#symbol(address);
    if (type === this.#symbolType + 1) return { type: "bigint", name: "bigint" };
    if (this.#arrays.has(type)) return { type: "array", name: "" };
    return this.#special(address, type) ?? this.#system(type);
  }

  #string(address: number, { instanceType }: MapInfo): NodeName {
    const { heap } = this.#objects;
    const { layout } = heap;
    const shape = instanceType & layout.get("StringRepresentationMask");
    if (shape === layout.get("ConsStringTag"))
      return { type: "concatenated string", name: "(concatenated string)" };
    if (shape === layout.get("SlicedStringTag"))
      return { type: "sliced string", name: "(sliced string)" };
    return { type: "string", name: heap.string(address, STRING_CHARS_MAX) ?? "<missing>" };
  }

  #receiver(address: number, type: number): NodeName {
    const { heap, functions } = this.#objects;
    const { layout } = heap;
    if (heap.isFunction(address)) {
      return { type: "closure", name: this.#nameOf(functions.sharedOf(address)) };
    }
    if (type === layout.findType("JS_BOUND_FUNCTION_TYPE"))
      return { type: "closure", name: "native_bind" };
    if (type === layout.findType("JS_REG_EXP_TYPE")) {
      const pattern = heap.tagged(address, layout.stated.regExpSource);
      return { type: "regexp", name: heap.string(pattern, STRING_CHARS_MAX) ?? "" };
    }
    if (type === this.#firstReceiver) return { type: "hidden", name: "system / JSProxy" };
    return { type: "object", name: this.#objects.className(address) };
  }

  /** Of a SharedFunctionInfo; there are more closures than functions. */
  #nameOf(shared: number): string {
    let name = this.#functions.get(shared);
    if (name === undefined) {
      name = this.#objects.functions.nameOf(shared);
      this.#functions.set(shared, name);
    }
    return name;
  }

  #symbol(address: number): NodeName {
    const { heap } = this.#objects;
    const { symbolFlags, symbolPrivateMask } = heap.layout.stated;
    const isPrivate = (heap.unsigned(address, symbolFlags, 4) & symbolPrivateMask) !== 0;
    return isPrivate
      ? { type: "hidden", name: "private symbol" }
      : { type: "symbol", name: "symbol" };
  }

  /** What is named by what is in it; null: by its type alone. */
  #special(address: number, type: number): NodeName | null {
    const { heap, functions } = this.#objects;
    const { layout } = heap;
    switch (layout.typeName(type)) {
      case "SHARED_FUNCTION_INFO_TYPE":
        return { type: "code", name: functions.nameOf(address) };
      case "SCRIPT_TYPE":
        return { type: "code", name: functions.script(address)?.name ?? "" };
      case "HEAP_NUMBER_TYPE":
        return { type: "number", name: "heap number" };
      case "CODE_TYPE":
        return { type: "code", name: "" };
      case "ODDBALL_TYPE":
        return { type: "hidden", name: this.#objects.oddball(address) ?? "system / Oddball" };
      case "MAP_TYPE": {
        const ofType = heap.unsigned(address, layout.field("Map", "instance_type"), 2);
        const isShape = ofType >= this.#firstReceiver;
        return { type: isShape ? "object shape" : "hidden", name: "system / Map" };
      }
      default:
        return null;
    }
  }

  #system(type: number): NodeName {
    const known = this.#internal.get(type);
    if (known !== undefined) return known;
    const { layout } = this.#objects.heap;
    const isContext =
      type >= layout.get("FirstContextType") && type <= layout.get("LastContextType");
    const isNative = type === layout.get("FirstContextType") + NATIVE_CONTEXT;
    const text = layout.typeName(type)?.replace(/_TYPE$/, "") ?? null;
    let made: NodeName;
    if (isNative) made = { type: "hidden", name: "system / NativeContext" };
    else if (isContext) made = { type: "object", name: "system / Context" };
    else if (text === null) made = { type: "hidden", name: `system / type ${type}` };
    else made = { type: kindOf(text), name: `system / ${camelCase(text)}` };
    this.#internal.set(type, made);
    return made;
  }

  /** The bytes of an ArrayBuffer that lie outside of the heap. */
  backingOf(address: number): { readonly address: number; readonly bytes: number } | null {
    const { heap } = this.#objects;
    if (!heap.isOfType(address, "JS_ARRAY_BUFFER_TYPE")) return null;
    const range = this.#values.arrayBuffer(address);
    return range.address > 0 && Number.isSafeInteger(range.bytes) ? range : null;
  }

  /** Characters of a string that lie outside of the heap: sources; V8 counts them since 13. */
  outsideOf(address: number, { instanceType }: MapInfo): number {
    if (instanceType >= this.#firstNonString || !this.#areOutsidesCounted) return 0;
    const { heap } = this.#objects;
    const { layout } = heap;
    const shape = instanceType & layout.get("StringRepresentationMask");
    if (shape !== layout.get("ExternalStringTag")) return 0;
    const encoding = instanceType & layout.get("StringEncodingMask");
    return heap.stringLength(address) * (encoding === layout.get("OneByteStringTag") ? 1 : 2);
  }

  /** Names of the variables of a context, slot by slot. */
  variablesOf(context: number): readonly string[] {
    const { heap } = this.#objects;
    const scope = heap.tagged(context, heap.layout.stated.contextScopeInfo);
    return readScopeInfo(heap, scope)?.contextLocals ?? [];
  }
}

function kindOf(type: string): NodeType {
  if (CODE_TYPES.has(type)) return "code";
  return SHAPE_TYPES.has(type) ? "object shape" : "hidden";
}

/** `SCOPE_INFO` is `ScopeInfo`. */
function camelCase(type: string): string {
  if (type === "STRONG_DESCRIPTOR_ARRAY") return "DescriptorArray";
  return type
    .toLowerCase()
    .replaceAll(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
