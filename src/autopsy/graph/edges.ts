/** What an edge of the object graph is called: a property, an element, an entry, a variable. */
import type { Describer } from "../heap/describe.ts";
import type { ObjectReader } from "../v8/objects.ts";
import { readScopeInfo } from "../v8/scope-info.ts";
import type { Tagged } from "../v8/tagged.ts";
import type { ValueReader } from "../v8/values.ts";

const KEY_CHARS = 40;
/** The words of JSObject that lead to its own stores. */
const STORES_AT = [8, 16, 24] as const;
const PROPERTY_NAME = /^[A-Za-z_$][\w$]*$/;

/** Names edges between objects, also through the stores in between. */
export class EdgeNames {
  readonly #objects: ObjectReader;
  readonly #values: ValueReader;
  readonly #describer: Describer;

  constructor(objects: ObjectReader, values: ValueReader, describer: Describer) {
    this.#objects = objects;
    this.#values = values;
    this.#describer = describer;
  }

  /** Properties, elements or entries of some other object, which are not shown by themselves. */
  isStore(address: Tagged): boolean {
    const { heap } = this.#objects;
    return (
      !this.#objects.isReceiver(address) && !heap.isContext(address) && !heap.isString(address)
    );
  }

  /** Whether the store is one of the object's own. */
  owns(object: Tagged, store: Tagged): boolean {
    if (!this.#objects.isReceiver(object)) return false;
    return STORES_AT.some((offset) => this.#objects.heap.tagged(object, offset) === store);
  }

  /** How `from` refers to `to`, directly or through a store of its own; null: internally. */
  name(from: Tagged, to: Tagged): string | null {
    const { heap } = this.#objects;
    if (heap.isContext(from)) return this.#variable(from, to);
    if (!this.#objects.isReceiver(from)) return null;
    for (const { name, isSymbol, isInternal, value, accessor } of this.#objects.properties(from)) {
      if (value !== to && accessor?.getter !== to && accessor?.setter !== to) continue;
      if (isInternal) return null;
      if (isSymbol && !name.startsWith("#")) return `[${name}]`;
      return PROPERTY_NAME.test(name) || name.startsWith("#") ? `.${name}` : `['${name}']`;
    }
    for (const { index, value } of this.#objects.elements(from))
      if (value === to) return `[${index}]`;
    if (this.#objects.prototypeOf(from) === to) return ".__proto__";
    if (heap.isFunction(from)) return heap.isContext(to) ? " (its variables)" : null;
    return this.#entry(from, to);
  }

  #entry(from: Tagged, to: Tagged): string | null {
    const { heap } = this.#objects;
    if (heap.isOfType(from, "JS_MAP_TYPE")) {
      for (const { key, value } of this.#values.mapEntries(from)) {
        if (key === to) return " (as a key)";
        if (value === to) return `.get(${this.#text(key)})`;
      }
    } else if (heap.isOfType(from, "JS_SET_TYPE")) return " (in the set)";
    else if (heap.isOfType(from, "JS_WEAK_MAP_TYPE")) {
      for (const { key, value } of this.#values.weakEntries(from)) {
        if (key === to) return " (as a key)";
        if (value === to) return `.get(${this.#text(key)})`;
      }
    } else if (heap.isOfType(from, "JS_PROMISE_TYPE")) return " (its result, or who waits for it)";
    return null;
  }

  #variable(context: Tagged, to: Tagged): string | null {
    const { heap } = this.#objects;
    const { stated } = heap.layout;
    if (heap.tagged(context, stated.contextPrevious) === to) return " (outer scope)";
    const scope = readScopeInfo(heap, heap.tagged(context, stated.contextScopeInfo));
    const names = scope?.contextLocals ?? [];
    for (const [index, name] of names.entries()) {
      const slot = heap.tagged(context, stated.contextLocals + 8 * index);
      if (slot === to || this.#values.variable(slot).value === to) return ` ${name}`;
    }
    return null;
  }

  #text(value: Tagged): string {
    const shown = this.#describer.primitive(value, KEY_CHARS);
    return shown?.kind === "primitive" ? shown.text : this.#describer.nameOf(value);
  }
}
