/**
 * Names of the words of an object that no program sees, where V8's snapshot has them and they help
 * to read it: what a bound function calls, the parts of a string, the table of a Map, the prototype
 * of a shape (heap-snapshot-generator.cc: `V8HeapExplorer::ExtractReferences` and below).
 */
import type { MapInfo } from "../heap/maps.ts";
import type { HeapView } from "../v8/heap-view.ts";

export class InternalNames {
  readonly #heap: HeapView;
  readonly #firstNonString: number;
  readonly #firstReceiver: number;
  readonly #arrayType: number;
  readonly #arrayData: number;
  readonly #functionTypes: readonly [number, number];
  readonly #function: ReadonlyMap<number, string>;
  readonly #receiver: ReadonlyMap<number, string>;
  readonly #byType: ReadonlyMap<number, ReadonlyMap<number, string>>;
  /** By the representation of a string. */
  readonly #strings: ReadonlyMap<number, ReadonlyMap<number, string>>;
  readonly #shapeMask: number;
  readonly #mapType: number;
  readonly #backPointerAt: number;
  readonly #transitionsAt: number;

  constructor(heap: HeapView) {
    const { layout } = heap;
    const { stated } = layout;
    this.#heap = heap;
    this.#firstNonString = layout.get("FirstNonstringType");
    this.#firstReceiver = layout.type("JS_PROXY_TYPE");
    this.#arrayType = layout.type("FIXED_ARRAY_TYPE");
    this.#arrayData = layout.field("FixedArray", "data");
    this.#functionTypes = [layout.get("FirstJSFunctionType"), layout.get("LastJSFunctionType")];
    this.#receiver = new Map([
      [stated.objectProperties, "properties"],
      [stated.objectElements, "elements"],
    ]);
    this.#function = new Map([
      [layout.field("JSFunction", "shared"), "shared"],
      [layout.field("JSFunction", "context"), "context"],
      [layout.field("JSFunction", "raw_feedback_cell"), "feedback_cell"],
    ]);
    const table = new Map([[stated.collectionTable, "table"]]);
    const buffer = new Map([[stated.dataViewBuffer, "buffer"]]); // of all views
    const bound = new Map([
      [stated.boundTarget, "bound_function"],
      [stated.boundReceiver, "bound_this"],
      [stated.boundArgs, "bindings"],
    ]);
    const cell = new Map([
      [stated.weakCellTarget, "target"],
      [stated.weakCellToken, "unregister_token"],
    ]);
    const map = new Map([
      [layout.field("Map", "prototype"), "prototype"],
      [layout.field("Map", "instance_descriptors_offset"), "descriptors"],
      [layout.field("Map", "dependent_code"), "dependent_code"],
    ]);
    const types: readonly (readonly [string, ReadonlyMap<number, string>])[] = [
      ["JS_MAP_TYPE", table],
      ["JS_SET_TYPE", table],
      ["JS_WEAK_MAP_TYPE", table],
      ["JS_WEAK_SET_TYPE", table],
      ["JS_TYPED_ARRAY_TYPE", buffer],
      ["JS_DATA_VIEW_TYPE", buffer],
      ["JS_BOUND_FUNCTION_TYPE", bound],
      ["JS_WEAK_REF_TYPE", new Map([[stated.weakRefTarget, "target"]])],
      ["WEAK_CELL_TYPE", cell],
      ["SYMBOL_TYPE", new Map([[layout.field("Symbol", "name"), "name"]])],
      ["MAP_TYPE", map],
    ];
    this.#byType = new Map(types.map(([name, names]) => [layout.findType(name) ?? -1, names]));
    this.#strings = new Map([
      [
        layout.get("ConsStringTag"),
        new Map([
          [layout.field("ConsString", "first"), "first"],
          [layout.field("ConsString", "second"), "second"],
        ]),
      ],
      [
        layout.get("SlicedStringTag"),
        new Map([[layout.field("SlicedString", "parent"), "parent"]]),
      ],
      [layout.get("ThinStringTag"), new Map([[layout.field("ThinString", "actual"), "actual"]])],
    ]);
    this.#shapeMask = layout.get("StringRepresentationMask");
    this.#mapType = layout.type("MAP_TYPE");
    this.#backPointerAt = layout.field("Map", "constructor_or_back_pointer");
    this.#transitionsAt = layout.field("Map", "raw_transitions");
  }

  /** The name of the word at `offset`, which refers to `to`; null: it has none. */
  of({ instanceType }: MapInfo, offset: number, to: number): string | null {
    if (offset === 0) return "map";
    if (instanceType < this.#firstNonString) {
      return this.#strings.get(instanceType & this.#shapeMask)?.get(offset) ?? null;
    }
    if (instanceType === this.#arrayType) return String((offset - this.#arrayData) / 8);
    if (instanceType === this.#mapType) {
      if (offset === this.#backPointerAt) return this.#originName(to);
      if (offset === this.#transitionsAt) return this.#transitionName(to);
    }
    const own = this.#byType.get(instanceType)?.get(offset);
    if (own !== undefined || instanceType < this.#firstReceiver) return own ?? null;
    const [first, last] = this.#functionTypes;
    const isFunction = instanceType >= first && instanceType <= last;
    return this.#receiver.get(offset) ?? (isFunction ? (this.#function.get(offset) ?? null) : null);
  }

  /** One word of a shape: that which it was made of, or else whose it is. */
  #originName(to: number): string {
    if (this.#heap.isMap(to)) return "back_pointer";
    const isFunction = this.#heap.isFunction(to);
    return !isFunction && this.#heap.isContext(to) ? "native_context" : "constructor";
  }

  #transitionName(to: number): string {
    if (this.#heap.isMap(to)) return "transition";
    const type = this.#heap.layout.typeName(this.#heap.instanceTypeOf(to));
    return type === "PROTOTYPE_INFO_TYPE" ? "prototype_info" : "transitions";
  }
}
