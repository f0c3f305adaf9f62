/**
 * JavaScript objects: their own properties in each of V8's representations, their elements, their
 * prototypes and the name of what made them. Nothing is executed: an accessor is shown as one.
 *
 * ```
 *   JSObject: map | properties or hash | elements | in-object fields ...
 *     fast:        map --> descriptors: (key, details, constant or field type)
 *                  details --> field n: in the object, or in the PropertyArray behind `properties`
 *     dictionary:  properties --> NameDictionary: (key, value, details)
 *     global:      properties --> GlobalDictionary: cells of (name, details, value)
 * ```
 * Sources: property-details.h, descriptor-array.h, dictionary.h, elements-kind.h, js-objects.cc
 * (`JSReceiver::GetConstructorName`).
 */
import type { FunctionReader } from "./functions.ts";
import type { HeapView } from "./heap-view.ts";
import { CLEARED, isSmi, smiValue } from "./tagged.ts";
import type { Tagged } from "./tagged.ts";

const BACK_POINTERS_MAX = 4_096;
const PROTOTYPES_MAX = 1_000;
const PROPERTIES_MAX = 200_000;
const HOLE_NAN_HIGH = 0xfff7_ffff;
/** Characters of a property's name. */
const NAME_CHARS_MAX = 1_000;

export interface Accessor {
  /** What has the two; CLEARED: V8's own accessor, which is no function of the language. */
  readonly pair: Tagged;
  readonly getter: Tagged;
  readonly setter: Tagged;
}

export interface Property {
  /** A string or a symbol. */
  readonly key: Tagged;
  readonly name: string;
  readonly isSymbol: boolean;
  /** A class's `#name`: V8 keeps it under a private symbol. */
  readonly isPrivate: boolean;
  /** V8's own: the recorded stack of an error, the brand of a class. No program can see it. */
  readonly isInternal: boolean;
  readonly isEnumerable: boolean;
  /** CLEARED: not there; of an accessor, CLEARED too. */
  readonly value: Tagged;
  readonly accessor: Accessor | null;
}

export interface Element {
  readonly index: number;
  /** A tagged value; of arrays of doubles null, and the number is in `double`. */
  readonly value: Tagged;
  readonly double: number | null;
}

/** Reads objects of one process. */
export class ObjectReader {
  readonly heap: HeapView;
  readonly functions: FunctionReader;
  readonly #holeType: number;
  readonly #oddballType: number;
  readonly #propertyCellType: number;
  readonly #accessorPairType: number;
  readonly #firstJsObject: number;
  /** By map. */
  readonly #classNames = new Map<Tagged, { readonly name: string; readonly isOfMap: boolean }>();

  constructor(heap: HeapView, functions: FunctionReader) {
    const { layout } = heap;
    this.heap = heap;
    this.functions = functions;
    this.#holeType = layout.type("FEEDBACK_VECTOR_TYPE") + 3;
    this.#oddballType = layout.type("ODDBALL_TYPE");
    this.#propertyCellType = layout.type("PROPERTY_CELL_TYPE");
    this.#accessorPairType = layout.findType("ACCESSOR_PAIR_TYPE") ?? -1;
    // JSProxy, JSGlobalObject and their kin come first, then what is made by APIs
    this.#firstJsObject = layout.type("JS_PROXY_TYPE") - 1;
  }

  /** JSReceiver: an object in the sense of the language. */
  isReceiver(object: Tagged): boolean {
    return this.heap.instanceTypeOf(object) > this.#firstJsObject;
  }

  /** The same, of an object whose type is known already. */
  isReceiverType(instanceType: number): boolean {
    return instanceType > this.#firstJsObject;
  }

  /** What stands where nothing was stored, or nothing may be read. */
  isHole(value: Tagged): boolean {
    const type = this.heap.instanceTypeOf(value);
    if (type === this.#holeType) return true;
    if (type !== this.#oddballType) return false;
    const kind = this.heap.smi(value, this.heap.layout.field("Oddball", "kind")) ?? -1;
    return kind > 4 || kind === 2;
  }

  /** `undefined`, `null`, `true`, `false`; null for everything else. */
  oddball(value: Tagged): "undefined" | "null" | "true" | "false" | null {
    if (this.heap.instanceTypeOf(value) !== this.#oddballType) return null;
    switch (this.heap.smi(value, this.heap.layout.field("Oddball", "kind"))) {
      case 0:
        return "false";
      case 1:
        return "true";
      case 3:
        return "null";
      case 4:
        return "undefined";
      default:
        return null;
    }
  }

  prototypeOf(object: Tagged): Tagged {
    const { heap } = this;
    return heap.tagged(heap.mapOf(object), heap.layout.field("Map", "prototype"));
  }

  /** Own properties with names and symbols, in order of creation as far as V8 keeps it. */
  *properties(object: Tagged): Generator<Property> {
    const { heap } = this;
    const { layout } = heap;
    const map = heap.mapOf(object);
    if (heap.instanceTypeOf(object) === layout.type("JS_GLOBAL_OBJECT_TYPE")) {
      yield* this.#globalProperties(heap.tagged(object, layout.stated.objectProperties));
      return;
    }
    const bits = heap.unsigned(map, layout.field("Map", "bit_field3"), 4);
    if (this.#isDictionary(bits)) {
      yield* this.#dictionaryProperties(heap.tagged(object, layout.stated.objectProperties));
      return;
    }
    yield* this.#fastProperties(object, map, bits);
  }

  /** Whether all objects of this one's map have the same properties. */
  isShapedByMap(object: Tagged): boolean {
    const { heap } = this;
    const { layout } = heap;
    if (heap.instanceTypeOf(object) === layout.type("JS_GLOBAL_OBJECT_TYPE")) return false;
    const field = layout.field("Map", "bit_field3");
    return !this.#isDictionary(heap.unsigned(heap.mapOf(object), field, 4));
  }

  #isDictionary(bitField3: number): boolean {
    const shift = this.heap.layout.get("bit_field3_is_dictionary_map_shift");
    return ((bitField3 >>> shift) & 1) === 1;
  }

  /** The value of an own data property; null when there is none. */
  get(object: Tagged, name: string): Tagged | null {
    for (const property of this.properties(object)) {
      if (!property.isSymbol && property.name === name) {
        return property.accessor === null ? property.value : null;
      }
    }
    return null;
  }

  /** The same for a symbol, by its description: Node's own state lies under such. */
  getSymbol(object: Tagged, description: string): Tagged | null {
    for (const property of this.properties(object)) {
      if (property.isSymbol && property.name === description) return property.value;
    }
    return null;
  }

  /** `length` of an array; null for everything else. */
  arrayLength(object: Tagged): number | null {
    if (!this.heap.isOfType(object, "JS_ARRAY_TYPE")) return null;
    return this.number(this.heap.tagged(object, this.heap.layout.stated.arrayLength));
  }

  /** A Smi or a HeapNumber; null for everything else. */
  number(value: Tagged): number | null {
    if (isSmi(value)) return smiValue(value);
    if (!this.heap.isOfType(value, "HEAP_NUMBER_TYPE")) return null;
    return this.heap.double(value, this.heap.layout.field("HeapNumber", "value"));
  }

  /** Elements that are there, in order of their index (of sparse arrays, of V8's table). */
  *elements(object: Tagged): Generator<Element> {
    const { heap } = this;
    const { layout } = heap;
    const map = heap.mapOf(object);
    const bits = heap.unsigned(map, layout.field("Map", "bit_field2"), 1);
    const kind =
      (bits & layout.get("bit_field2_elements_kind_mask")) >>>
      layout.get("bit_field2_elements_kind_shift");
    const { stated } = layout;
    const store = heap.tagged(object, stated.objectElements);
    const limit = this.arrayLength(object) ?? Number.MAX_SAFE_INTEGER;
    if (kind === stated.elementsPackedDouble || kind === stated.elementsHoleyDouble)
      yield* this.#doubles(store, limit);
    else if (kind <= stated.elementsLastFast || kind === stated.elementsFastStringWrapper)
      yield* this.#tagged(store, limit);
    else if (kind === stated.elementsDictionary || kind === stated.elementsSlowStringWrapper)
      yield* this.#sparse(store);
    else if (kind === stated.elementsFastArguments || kind === stated.elementsSlowArguments) {
      // context, then the arguments that no variable stands for
      const rest = heap.tagged(store, layout.field("FixedArray", "data") + 8);
      if (kind === stated.elementsFastArguments) yield* this.#tagged(rest, limit);
      else yield* this.#sparse(rest);
    }
  }

  proxy(object: Tagged): { readonly target: Tagged; readonly handler: Tagged } {
    const { heap } = this;
    const { proxyTarget, proxyHandler } = heap.layout.stated;
    return {
      target: heap.tagged(object, proxyTarget),
      handler: heap.tagged(object, proxyHandler),
    };
  }

  /**
   * The name of an object's class, as V8 names it in heap snapshots: the function that its map was
   * made for, unless that was a base class of it or the object is a prototype; else, along the
   * prototypes, `Symbol.toStringTag` or `constructor`.
   */
  className(object: Tagged): string {
    const map = this.heap.mapOf(object);
    let known = this.#classNames.get(map);
    if (known === undefined) {
      const made = this.#nameOfMap(map);
      const isOfMap = made !== "" || !this.#mayHaveOwnTag(object, map);
      known = { name: made || this.#nameByPrototypes(object) || this.#nameOfKind(object), isOfMap };
      this.#classNames.set(map, known);
    }
    return known.isOfMap ? known.name : (this.#tagOf(object) ?? known.name);
  }

  /**
   * Whether all objects of this one's map have one class name. They do not where the name is in the
   * object: objects with a dictionary share their maps, and have a `Symbol.toStringTag` or none.
   */
  isNamedByMap(object: Tagged): boolean {
    this.className(object);
    return this.#classNames.get(this.heap.mapOf(object))?.isOfMap ?? true;
  }

  /** The function that an object's map was made for; CLEARED when it is none. */
  constructorOf(map: Tagged): Tagged {
    const { heap } = this;
    const field = heap.layout.field("Map", "constructor_or_back_pointer");
    let value = heap.tagged(map, field);
    for (let count = 0; count < BACK_POINTERS_MAX && heap.isOfType(value, "MAP_TYPE"); count += 1) {
      value = heap.tagged(value, field);
    }
    return heap.isFunction(value) ? value : CLEARED;
  }

  #nameOfMap(map: Tagged): string {
    const { heap } = this;
    const { layout } = heap;
    const bits3 = heap.unsigned(map, layout.field("Map", "bit_field3"), 4);
    const prototypeShift = layout.get("bit_field3_is_dictionary_map_shift") - 1;
    const isPrototype = ((bits3 >>> prototypeShift) & 1) === 1;
    const isBase = (heap.unsigned(map, layout.field("Map", "bit_field2"), 1) & 1) === 1;
    if (isPrototype || !isBase) return "";
    const made = this.constructorOf(map);
    const name = made === CLEARED ? "" : this.functions.nameOf(this.functions.sharedOf(made));
    return name === "Object" ? "" : name;
  }

  /** `JSReceiver::class_name` of what has no constructor anywhere. */
  #nameOfKind(object: Tagged): string {
    if (this.heap.isFunction(object)) return "Function";
    if (this.heap.isOfType(object, "JS_ARRAY_TYPE")) return "Array";
    if (this.heap.isOfType(object, "JS_PRIMITIVE_WRAPPER_TYPE")) return this.#wrapperName(object);
    return this.heap.isOfType(object, "JS_GLOBAL_OBJECT_TYPE") ? "global" : "Object";
  }

  /** Of `Boolean.prototype` and its like. */
  #wrapperName(object: Tagged): string {
    const value = this.heap.tagged(object, this.heap.layout.stated.wrappedValue);
    if (this.number(value) !== null) return "Number";
    if (this.heap.isString(value)) return "String";
    return this.oddball(value) === null ? "Object" : "Boolean";
  }

  /** The name by what an object inherits; its own tag is looked at for each object. */
  #nameByPrototypes(object: Tagged): string {
    let holder = this.prototypeOf(object);
    for (let count = 0; count < PROTOTYPES_MAX && this.isReceiver(holder); count += 1) {
      const text = this.#tagOf(holder);
      if (text !== null) return text;
      const constructor = this.get(holder, "constructor");
      if (constructor !== null && this.heap.isFunction(constructor)) {
        const name = this.functions.nameOf(this.functions.sharedOf(constructor));
        if (name !== "" && name !== "Object") return name;
      }
      holder = this.prototypeOf(holder);
    }
    return "";
  }

  #mayHaveOwnTag(object: Tagged, map: Tagged): boolean {
    const { layout } = this.heap;
    const bits = this.heap.unsigned(map, layout.field("Map", "bit_field3"), 4);
    const isDictionary = ((bits >>> layout.get("bit_field3_is_dictionary_map_shift")) & 1) === 1;
    return isDictionary || this.#tagOf(object) !== null;
  }

  /** Its own `Symbol.toStringTag`, when that is a text. */
  #tagOf(object: Tagged): string | null {
    const tag = this.getSymbol(object, "Symbol.toStringTag");
    return tag === null ? null : this.heap.string(tag, NAME_CHARS_MAX);
  }

  *#fastProperties(object: Tagged, map: Tagged, bits: number): Generator<Property> {
    const { heap } = this;
    const { layout } = heap;
    const count =
      (bits & layout.get("bit_field3_number_of_own_descriptors_mask")) >>>
      layout.get("bit_field3_number_of_own_descriptors_shift");
    const descriptors = heap.tagged(map, layout.get("class_Map__instance_descriptors_offset"));
    const header = layout.field("DescriptorArray", "header_size");
    const startField = "inobject_properties_start_or_constructor_function_index";
    const start = heap.unsigned(map, layout.field("Map", startField), 1);
    const words = heap.unsigned(map, layout.field("Map", "instance_size_in_words"), 1);
    const inObject = Math.max(0, words - start);
    const array = heap.tagged(object, layout.stated.objectProperties);
    const data = layout.field("FixedArray", "data");
    for (let index = 0; index < count; index += 1) {
      const at = header + 24 * index;
      const key = heap.tagged(descriptors, at);
      const details = heap.smi(descriptors, at + 8 * layout.get("prop_desc_details"));
      if (details === null) continue;
      const isField = (details & layout.get("prop_location_mask")) === 0;
      const field = (details & layout.get("prop_index_mask")) >>> layout.get("prop_index_shift");
      const value = !isField
        ? heap.tagged(descriptors, at + 8 * layout.get("prop_desc_value"))
        : field < inObject
          ? heap.tagged(object, 8 * (start + field))
          : heap.tagged(array, data + 8 * (field - inObject));
      const property = this.#property(key, value, details);
      if (property !== null) yield property;
    }
  }

  *#dictionaryProperties(dictionary: Tagged): Generator<Property> {
    const { heap } = this;
    const { layout } = heap;
    const length = Math.min(heap.arrayLength(dictionary), 3 * PROPERTIES_MAX);
    const first =
      layout.get("namedictionary_prefix_start_index") +
      layout.get("namedictionaryshape_prefix_size");
    const found: { readonly property: Property; readonly order: number }[] = [];
    for (let index = first; index + 2 < length; index += 3) {
      const details = heap.arrayItem(dictionary, index + 2);
      if (!isSmi(details)) continue;
      const key = heap.arrayItem(dictionary, index);
      const property = this.#property(
        key,
        heap.arrayItem(dictionary, index + 1),
        smiValue(details),
      );
      // in a dictionary the bits above kind and attributes count the order of creation
      if (property !== null) found.push({ property, order: smiValue(details) >>> 8 });
    }
    for (const { property } of found.toSorted((a, b) => a.order - b.order)) yield property;
  }

  *#globalProperties(dictionary: Tagged): Generator<Property> {
    const { heap } = this;
    const { stated } = heap.layout;
    const length = Math.min(heap.arrayLength(dictionary), PROPERTIES_MAX);
    for (let index = 0; index < length; index += 1) {
      const cell = heap.arrayItem(dictionary, index);
      if (isSmi(cell) || heap.instanceTypeOf(cell) !== this.#propertyCellType) continue;
      const details = heap.smi(cell, stated.cellDetails) ?? 0;
      const key = heap.tagged(cell, stated.cellName);
      const property = this.#property(key, heap.tagged(cell, stated.cellValue), details);
      if (property !== null) yield property;
    }
  }

  #property(key: Tagged, value: Tagged, details: number): Property | null {
    const { heap } = this;
    const { layout } = heap;
    const { stated } = layout;
    const isSymbol = heap.isOfType(key, "SYMBOL_TYPE");
    const isHidden =
      isSymbol && (heap.unsigned(key, stated.symbolFlags, 4) & stated.symbolPrivateMask) !== 0;
    const text = isSymbol ? heap.tagged(key, layout.field("Symbol", "name")) : key;
    const name = heap.string(text, NAME_CHARS_MAX);
    if (name === null && !isSymbol) return null;
    if (this.isHole(value)) return null;
    const isAccessor =
      (details & layout.get("prop_kind_mask")) === layout.get("prop_kind_Accessor");
    const isPair = isAccessor && heap.instanceTypeOf(value) === this.#accessorPairType;
    const dontEnum = layout.get("prop_attributes_DONT_ENUM") << layout.get("prop_attributes_shift");
    return {
      key,
      name: name ?? "",
      isSymbol,
      isPrivate: isHidden && (name ?? "").startsWith("#"),
      isInternal: isHidden && !(name ?? "").startsWith("#"),
      isEnumerable: (details & dontEnum) === 0,
      value: isAccessor ? CLEARED : value,
      accessor: isAccessor
        ? {
            pair: isPair ? value : CLEARED,
            getter: isPair ? heap.tagged(value, stated.pairGetter) : CLEARED,
            setter: isPair ? heap.tagged(value, stated.pairSetter) : CLEARED,
          }
        : null,
    };
  }

  *#doubles(store: Tagged, limit: number): Generator<Element> {
    const { heap } = this;
    const length = Math.min(heap.arrayLength(store), limit);
    const data = heap.layout.field("FixedArray", "data");
    for (let index = 0; index < length; index += 1) {
      const at = data + 8 * index;
      if (heap.unsigned(store, at + 4, 4) === HOLE_NAN_HIGH) continue;
      yield { index, value: CLEARED, double: heap.double(store, at) };
    }
  }

  *#tagged(store: Tagged, limit: number): Generator<Element> {
    const length = Math.min(this.heap.arrayLength(store), limit);
    for (let index = 0; index < length; index += 1) {
      const value = this.heap.arrayItem(store, index);
      if (!isSmi(value) && this.isHole(value)) continue;
      yield { index, value, double: null };
    }
  }

  /** NumberDictionary: key, value, details. */
  *#sparse(store: Tagged): Generator<Element> {
    const { heap } = this;
    const { layout } = heap;
    const length = heap.arrayLength(store);
    const first =
      layout.get("namedictionary_prefix_start_index") +
      layout.get("numberdictionaryshape_prefix_size");
    const found: Element[] = [];
    for (let index = first; index + 2 < length && found.length < PROPERTIES_MAX; index += 3) {
      const key = this.number(heap.arrayItem(store, index));
      const value = heap.arrayItem(store, index + 1);
      if (key !== null && !(!isSmi(value) && this.isHole(value))) {
        found.push({ index: key, value, double: null });
      }
    }
    yield* found.toSorted((a, b) => a.index - b.index);
  }
}
