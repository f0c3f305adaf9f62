/**
 * A value in one short line, for the arguments of a frame. Objects are shown with their class and
 * first properties; `print` of the shell shows them whole.
 */
import type { FunctionReader } from "../v8/functions.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { CLEARED, isSmi, smiValue } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import type { FrameValue } from "./frame-values.ts";

const STRING_CHARS_MAX = 60;
const PROPERTIES_MAX = 5;
const BACK_POINTERS_MAX = 1000;
const DEPTH_MAX = 1;
const PROPERTY_ARRAY_DATA = 16;
const PROPERTY_CHARS_MAX = 2000;

/** What the oddballs are, by their kind (src/objects/oddball.h). */
const ODDBALLS: ReadonlyMap<number, string> = new Map([
  [0, "false"],
  [1, "true"],
  [3, "null"],
  [4, "undefined"],
]);

export class BriefPrinter {
  readonly #heap: HeapView;
  readonly #functions: FunctionReader;

  constructor(heap: HeapView, functions: FunctionReader) {
    this.#heap = heap;
    this.#functions = functions;
  }

  /** A value of a frame. */
  frameValue(value: FrameValue): string {
    switch (value.kind) {
      case "tagged":
        return this.tagged(value.tagged);
      case "number":
        return Object.is(value.number, -0) ? "-0" : String(value.number);
      case "bigint":
        return `${value.bigint}n`;
      case "boolean":
        return String(value.boolean);
      case "concat":
        return value.parts.map((part) => this.frameValue(part)).join(" + ");
      case "object": {
        const name = this.#classNameOfMap(value.map);
        const properties = this.#propertiesOfMap(value.map, (index) => {
          const words = this.#inObjectStart(value.map) + index - 1;
          const field = value.fields[words];
          return field === undefined ? null : this.frameValue(field);
        });
        return composed(name, properties);
      }
      case "unknown":
        return `<${value.why}>`;
    }
  }

  tagged(value: Tagged, depth = 0): string {
    const heap = this.#heap;
    const { layout } = heap;
    if (isSmi(value)) return String(smiValue(value));
    if (value === CLEARED) return "<missing>";
    const type = heap.instanceTypeOf(value);
    if (type < 0) return `<corrupt 0x${value.toString(16)}>`;
    if (type < layout.get("FirstNonstringType")) return this.#string(value);
    if (type === layout.type("HEAP_NUMBER_TYPE")) {
      const number = heap.double(value, layout.field("HeapNumber", "value"));
      return Object.is(number, -0) ? "-0" : String(number);
    }
    if (type === layout.type("ODDBALL_TYPE")) {
      const kind = heap.smi(value, layout.field("Oddball", "kind")) ?? -1;
      return ODDBALLS.get(kind) ?? "<hole>";
    }
    if (type === layout.type("SYMBOL_TYPE")) {
      const name = heap.tagged(value, layout.field("Symbol", "name"));
      return `Symbol(${heap.string(name, STRING_CHARS_MAX) ?? ""})`;
    }
    if (type === layout.type("SYMBOL_TYPE") + 1) return "<bigint>";
    if (heap.isFunction(value)) {
      const name = this.#functions.nameOf(this.#functions.sharedOf(value));
      return name === "" ? "[Function]" : `[Function ${name}]`;
    }
    if (type === layout.type("JS_GLOBAL_PROXY_TYPE")) return "globalThis";
    return this.#object(value, type, depth);
  }

  /** The text of an own property that is a string; null when it has none. */
  property(object: Tagged, name: string): string | null {
    let found: string | null = null;
    const map = this.#heap.mapOf(object);
    this.#propertiesOfMap(map, (index, key) => {
      if (key !== name) return null;
      found = this.#heap.string(this.#fieldAt(object, map, index), PROPERTY_CHARS_MAX);
      return null;
    });
    return found;
  }

  /** The name of the constructor of an object; "Object" when it has none that can be named. */
  className(object: Tagged): string {
    return this.#classNameOfMap(this.#heap.mapOf(object));
  }

  #string(value: Tagged): string {
    const text = this.#heap.string(value, STRING_CHARS_MAX);
    if (text === null) return "<string>";
    const length = this.#heap.stringLength(value);
    return JSON.stringify(text) + (length > text.length ? `... (${length} characters)` : "");
  }

  #object(value: Tagged, type: number, depth: number): string {
    const { layout } = this.#heap;
    const name = this.className(value);
    if (type === layout.type("JS_ARRAY_TYPE")) {
      const length = this.#heap.smi(value, this.#heap.layout.stated.arrayLength);
      return `${name}(${length ?? "?"})`;
    }
    if (type === layout.type("JS_ERROR_TYPE") || depth >= DEPTH_MAX) {
      return depth >= DEPTH_MAX ? `${name} {...}` : composed(name, this.#properties(value, depth));
    }
    if (type < layout.type("JS_OBJECT_TYPE") - 64) return `<${name}>`;
    return composed(name, this.#properties(value, depth));
  }

  #properties(object: Tagged, depth: number): readonly string[] {
    const heap = this.#heap;
    const map = heap.mapOf(object);
    return this.#propertiesOfMap(map, (index) => {
      const value = this.#fieldAt(object, map, index);
      return value === CLEARED ? null : this.tagged(value, depth + 1);
    });
  }

  /** A field by its index: in the object, or in the array behind it. */
  #fieldAt(object: Tagged, map: Tagged, index: number): Tagged {
    const heap = this.#heap;
    const start = this.#inObjectStart(map);
    const size = heap.layout.field("Map", "instance_size_in_words");
    const inObject = Math.max(0, heap.unsigned(map, size, 1) - start);
    if (index < inObject) return heap.tagged(object, 8 * (start + index));
    const array = heap.tagged(object, heap.layout.stated.objectProperties);
    return heap.tagged(array, PROPERTY_ARRAY_DATA + 8 * (index - inObject));
  }

  #inObjectStart(map: Tagged): number {
    const { layout } = this.#heap;
    const field = layout.field("Map", "inobject_properties_start_or_constructor_function_index");
    return this.#heap.unsigned(map, field, 1);
  }

  /** `name: value` of the first properties that are fields, by the index of the field. */
  #propertiesOfMap(
    map: Tagged,
    valueAt: (index: number, key: string) => string | null,
  ): readonly string[] {
    const heap = this.#heap;
    const { layout } = heap;
    const bits = heap.unsigned(map, layout.field("Map", "bit_field3"), 4);
    if (((bits >>> layout.get("bit_field3_is_dictionary_map_shift")) & 1) === 1) return ["..."];
    const mask = layout.get("bit_field3_number_of_own_descriptors_mask");
    const count = (bits & mask) >>> layout.get("bit_field3_number_of_own_descriptors_shift");
    const descriptors = heap.tagged(map, layout.get("class_Map__instance_descriptors_offset"));
    const header = layout.field("DescriptorArray", "header_size");
    const shown: string[] = [];
    for (let index = 0; index < count; index += 1) {
      if (shown.length >= PROPERTIES_MAX) return [...shown, "..."];
      const at = header + 24 * index;
      const key = heap.string(heap.tagged(descriptors, at), STRING_CHARS_MAX);
      const details = heap.smi(descriptors, at + 8 * layout.get("prop_desc_details"));
      if (key === null || details === null) continue;
      const location =
        (details & layout.get("prop_location_mask")) >>> layout.get("prop_location_shift");
      const kind = details & layout.get("prop_kind_mask");
      if (kind === layout.get("prop_kind_Accessor")) continue;
      const fieldIndex =
        (details & layout.get("prop_index_mask")) >>> layout.get("prop_index_shift");
      const value =
        location === layout.get("prop_location_Field")
          ? valueAt(fieldIndex, key)
          : this.tagged(
              heap.tagged(descriptors, at + 8 * layout.get("prop_desc_value")),
              DEPTH_MAX,
            );
      shown.push(`${key}: ${value ?? "<missing>"}`);
    }
    return shown;
  }

  #classNameOfMap(map: Tagged): string {
    const heap = this.#heap;
    const field = heap.layout.field("Map", "constructor_or_back_pointer");
    let constructor = heap.tagged(map, field);
    for (let count = 0; heap.isMap(heap.mapOf(constructor)); count += 1) {
      if (count > BACK_POINTERS_MAX || !heap.isOfType(constructor, "MAP_TYPE")) break;
      constructor = heap.tagged(constructor, field);
    }
    const name = this.#functions.nameOf(this.#functions.sharedOf(constructor));
    return name === "" ? "Object" : name;
  }
}

function composed(name: string, properties: readonly string[]): string {
  const prefix = name === "Object" ? "" : `${name} `;
  return properties.length === 0 ? `${prefix}{}` : `${prefix}{ ${properties.join(", ")} }`;
}
