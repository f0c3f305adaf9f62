/**
 * A value as a tree that can be shown or written as JSON: the model behind `print`. Bounded in
 * depth, width and length; what was left out is counted.
 */
import type { FunctionReader } from "../v8/functions.ts";
import type { HeapView, StringBudget } from "../v8/heap-view.ts";
import type { ObjectReader, Property } from "../v8/objects.ts";
import { readScopeInfo } from "../v8/scope-info.ts";
import { CLEARED, isSmi, smiValue } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import type { ByteRange, ValueReader } from "../v8/values.ts";
import { readErrorStack } from "./error-stack.ts";
import type { PositionReader } from "./error-stack.ts";

export interface DescribeLimits {
  /** Objects within objects. */
  readonly depth: number;
  /** Members of one object. */
  readonly members: number;
  /** Characters of a string. */
  readonly chars: number;
}

export const DEFAULT_LIMITS: DescribeLimits = { depth: 2, members: 100, chars: 1_000 };
const BYTES_SHOWN_MAX = 50;
/** In one tree, whatever its depth: what is in two places of an object is told twice. */
const VALUES_MAX = 100_000;
/** Members that are not shown, of one object, and of all that one verb tells. */
const MORE_MAX = 1_000_000;
const COUNTED_MAX = 1_000_000;
/** For all strings of one tree. */
const STRING_PARTS_MAX = 2_000_000;
const STRING_CHARS_MAX = 1_000_000_000;
/** Contexts around a closure. */
const CONTEXTS_MAX = 50;

/** One value. `address` is what `print`, `refs` and `why` take. */
export type Described =
  | { readonly kind: "primitive"; readonly type: string; readonly text: string }
  | { readonly kind: "missing"; readonly text: string }
  /** Shown already further up, or too deep. */
  | { readonly kind: "reference"; readonly name: string; readonly address: number }
  | DescribedObject;

export interface DescribedObject {
  readonly kind: "object";
  readonly name: string;
  readonly address: number;
  /** What the class says in one piece: a date, a pattern, the beginning of bytes, a place. */
  readonly summary: string | null;
  /** Array-like: members in brackets, without names. */
  readonly isList: boolean;
  readonly members: readonly Member[];
  /** Members that are not shown. */
  readonly more: number;
  /** False: there are more than that, which were not counted. */
  readonly isMoreExact: boolean;
}

export interface Member {
  /** Null: an item of a list. */
  readonly name: string | null;
  /** Of a Map: what leads to the value. */
  readonly key: Described | null;
  readonly value: Described;
  readonly isEnumerable: boolean;
}

export class Describer {
  readonly #heap: HeapView;
  readonly #objects: ObjectReader;
  readonly #functions: FunctionReader;
  readonly #values: ValueReader;
  readonly #positionOf: PositionReader;
  /** Objects that may still be told of the one that is described, and strings read. */
  #left = VALUES_MAX;
  /** Members that may still be counted: of a damaged array, which all objects have, millions. */
  #unseen = COUNTED_MAX;
  #strings = stringBudget();

  /** `positionOf`: for the stacks of errors, which are told without lines where it finds none. */
  constructor(objects: ObjectReader, values: ValueReader, positionOf: PositionReader = () => null) {
    this.#heap = objects.heap;
    this.#objects = objects;
    this.#functions = objects.functions;
    this.#values = values;
    this.#positionOf = positionOf;
  }

  /** Another answer begins: what is bounded for each of them is counted anew. */
  begin(): void {
    this.#unseen = COUNTED_MAX;
  }

  describe(value: Tagged, limits: DescribeLimits = DEFAULT_LIMITS): Described {
    this.#left = VALUES_MAX;
    this.#strings = stringBudget();
    return this.#value(value, limits, new Set(), 0);
  }

  #value(value: Tagged, limits: DescribeLimits, path: Set<number>, depth: number): Described {
    const primitive = this.primitive(value, limits.chars, this.#strings);
    if (primitive !== null) return primitive;
    const name = this.nameOf(value);
    this.#left -= 1;
    if (path.has(value) || depth > limits.depth || this.#left < 0)
      return { kind: "reference", name, address: value };
    path.add(value);
    const members: Member[] = [];
    let more = 0;
    let isMoreExact = true;
    for (const member of this.#members(value)) {
      if (members.length < limits.members) {
        members.push(member((inner) => this.#value(inner, limits, path, depth + 1)));
        continue;
      }
      more += 1;
      this.#unseen -= 1;
      isMoreExact = more <= MORE_MAX && this.#unseen >= 0;
      if (!isMoreExact) break;
    }
    path.delete(value);
    const summary = this.#summary(value);
    return {
      kind: "object",
      name,
      address: value,
      summary,
      isList: this.#isList(value),
      members,
      more,
      isMoreExact,
    };
  }

  /** Numbers, strings, symbols, undefined...; null for objects. */
  primitive(value: Tagged, charsMax: number, strings = stringBudget()): Described | null {
    const heap = this.#heap;
    if (isSmi(value)) return primitive("number", String(smiValue(value)));
    if (value === CLEARED) return { kind: "missing", text: "<missing>" };
    const type = heap.instanceTypeOf(value);
    if (type < 0) return { kind: "missing", text: `<corrupt 0x${value.toString(16)}>` };
    if (heap.isString(value)) return this.#string(value, charsMax, strings);
    const number = this.#objects.number(value);
    if (number !== null) return primitive("number", numberText(number));
    const oddball = this.#objects.oddball(value);
    if (oddball !== null)
      return primitive(oddball === "true" || oddball === "false" ? "boolean" : oddball, oddball);
    if (this.#objects.isHole(value)) return { kind: "missing", text: "<empty>" };
    if (heap.isOfType(value, "SYMBOL_TYPE")) {
      return primitive("symbol", `Symbol(${this.#values.symbol(value)})`);
    }
    if (!this.#values.isBigInt(value)) return null;
    const bigint = this.#values.bigint(value);
    return primitive("bigint", bigint === null ? "<a very large bigint>" : `${bigint}n`);
  }

  /** `Map(3)`, `[Function: name]`, `(fixed array)(10)`: an object's name and size. */
  nameOf(value: Tagged): string {
    const heap = this.#heap;
    if (!this.#objects.isReceiver(value)) {
      const type = heap.layout.typeName(heap.instanceTypeOf(value));
      const name = type === null ? "internal" : type.replace(/_TYPE$/, "").toLowerCase();
      return heap.isContext(value) ? "(context)" : `(${name.replaceAll("_", " ")})`;
    }
    if (heap.isFunction(value)) return this.#functionName(value);
    if (heap.isOfType(value, "JS_PROXY_TYPE")) return "Proxy";
    const type = heap.layout.typeName(heap.instanceTypeOf(value));
    if (type !== null && /^JS_(ASYNC_)?(FUNCTION|GENERATOR)_OBJECT_TYPE$/.test(type)) {
      const name = this.#functionName(heap.tagged(value, heap.layout.stated.generatorFunction));
      return `${type.includes("ASYNC") ? "suspended async" : "generator of"} ${name}`;
    }
    const name = this.#objects.className(value);
    const length = this.#objects.arrayLength(value);
    return length === null ? name : `${name}(${length})`;
  }

  #functionName(value: Tagged): string {
    const shared = this.#functions.sharedOf(value);
    const name = this.#functions.nameOf(shared);
    const start = this.#functions.rangeOf(shared)?.start ?? 0;
    const isClass = this.#functions.scriptOf(shared)?.source?.startsWith("class", start) === true;
    if (isClass) return `[class ${name === "" ? "(anonymous)" : name}]`;
    return name === "" ? "[Function (anonymous)]" : `[Function: ${name}]`;
  }

  #summary(value: Tagged): string | null {
    const heap = this.#heap;
    const is = (type: string): boolean => heap.isOfType(value, type);
    if (heap.isFunction(value)) return this.placeOf(value);
    if (is("JS_DATE_TYPE")) return dateText(this.#values.date(value));
    if (is("JS_REG_EXP_TYPE")) return this.#values.regExp(value);
    if (is("JS_TYPED_ARRAY_TYPE")) return this.#bytesText(this.#values.typedArray(value));
    if (is("JS_ARRAY_BUFFER_TYPE")) return this.#bytesText(this.#values.arrayBuffer(value));
    if (is("JS_DATA_VIEW_TYPE")) return this.#bytesText(this.#values.dataView(value));
    if (is("JS_PROMISE_TYPE")) return this.#values.promise(value).state;
    return null;
  }

  /** `file:line:column` of a function; null when its script is not there. */
  placeOf(value: Tagged): string | null {
    const shared = this.#functions.sharedOf(value);
    const script = this.#functions.scriptOf(shared);
    const start = this.#functions.rangeOf(shared)?.start;
    if (script === null) return null;
    const place = start === undefined ? null : this.#functions.lineColumn(script, start);
    return place === null ? script.name : `${script.name}:${place.line}:${place.column}`;
  }

  #bytesText({ address, bytes }: ByteRange): string {
    if (address === 0) return bytes === 0 ? "0 bytes" : "detached";
    const shown = this.#heap.memory.read(address, Math.min(bytes, BYTES_SHOWN_MAX));
    const hex =
      shown === null ? "<missing>" : shown.toString("hex").replaceAll(/(..)(?=.)/g, "$1 ");
    return `${bytes} bytes <${hex}${bytes > BYTES_SHOWN_MAX ? " ..." : ""}>`;
  }

  #isList(value: Tagged): boolean {
    return this.#objects.arrayLength(value) !== null || this.#heap.isOfType(value, "JS_SET_TYPE");
  }

  *#members(value: Tagged): Generator<(inner: (value: Tagged) => Described) => Member> {
    const heap = this.#heap;
    if (!this.#objects.isReceiver(value)) {
      yield* this.#internalMembers(value);
      return;
    }
    yield* this.#builtinMembers(value);
    if (!heap.isOfType(value, "JS_TYPED_ARRAY_TYPE")) {
      const isArray = this.#objects.arrayLength(value) !== null;
      let next = 0;
      for (const { index, value: item, double } of this.#objects.elements(value)) {
        const gap = isArray ? index - next : 0;
        next = index + 1;
        if (gap > 0) yield () => member(null, { kind: "missing", text: emptyItems(gap) });
        const name = isArray ? null : String(index);
        yield (inner) =>
          member(name, double === null ? inner(item) : primitive("number", numberText(double)));
      }
    }
    const isError = heap.isOfType(value, "JS_ERROR_TYPE");
    for (const property of this.#objects.properties(value)) {
      if (isBookkeeping(property)) continue;
      // what its getter would give is shown already
      if (isError && property.name === "stack" && property.accessor !== null) continue;
      yield (inner) => propertyMember(property, inner);
    }
  }

  *#builtinMembers(value: Tagged): Generator<(inner: (value: Tagged) => Described) => Member> {
    const heap = this.#heap;
    const values = this.#values;
    const is = (type: string): boolean => heap.isOfType(value, type);
    if (is("JS_MAP_TYPE") || is("JS_WEAK_MAP_TYPE")) {
      const entries = is("JS_MAP_TYPE") ? values.mapEntries(value) : values.weakEntries(value);
      for (const { key, value: held } of entries) {
        yield (inner) => ({ name: null, key: inner(key), value: inner(held), isEnumerable: true });
      }
    } else if (is("JS_SET_TYPE")) {
      for (const item of values.setValues(value)) yield (inner) => member(null, inner(item));
    } else if (is("JS_WEAK_SET_TYPE")) {
      for (const { key } of values.weakEntries(value)) yield (inner) => member(null, inner(key));
    } else if (is("JS_WEAK_REF_TYPE")) {
      yield (inner) => member("<target>", inner(values.weakTarget(value)));
    } else if (is("JS_PROMISE_TYPE")) {
      const { state, value: result } = values.promise(value);
      if (state !== "pending") yield (inner) => member(`<${state}>`, inner(result));
    } else if (is("JS_PROXY_TYPE")) {
      const { target, handler } = this.#objects.proxy(value);
      yield (inner) => member("<target>", inner(target));
      yield (inner) => member("<handler>", inner(handler));
    } else if (is("JS_PRIMITIVE_WRAPPER_TYPE")) {
      yield (inner) => member("<value>", inner(values.wrapped(value)));
    } else if (is("JS_BOUND_FUNCTION_TYPE")) {
      const { target, receiver, args } = values.bound(value);
      yield (inner) => member("<target>", inner(target));
      yield (inner) => member("<this>", inner(receiver));
      for (const arg of args) yield (inner) => member("<argument>", inner(arg));
    } else if (is("JS_ERROR_TYPE")) {
      const stack = this.#errorStack(value);
      if (stack !== null) yield () => member("<stack>", stack);
    } else if (heap.isFunction(value)) {
      yield* this.#closureMembers(this.#functions.contextOf(value));
    }
  }

  #errorStack(error: Tagged): Described | null {
    const properties = this.#objects.properties(error);
    const stack = readErrorStack(this.#heap, this.#functions, properties, this.#positionOf);
    if (stack === null) return null;
    const { address, lines } = stack;
    const members = lines.map((line) => member(null, primitive("string", line)));
    const name = `Stack(${lines.length})`;
    return {
      kind: "object",
      name,
      address,
      summary: null,
      isList: true,
      members,
      more: 0,
      isMoreExact: true,
    };
  }

  /** Variables that a closure holds, from the innermost scope on. */
  *#closureMembers(first: Tagged): Generator<(inner: (value: Tagged) => Described) => Member> {
    const heap = this.#heap;
    const { stated } = heap.layout;
    let context = first;
    for (let count = 0; count < CONTEXTS_MAX && heap.isContext(context); count += 1) {
      const scope = readScopeInfo(heap, heap.tagged(context, stated.contextScopeInfo));
      const isFunctionScope = heap.smi(context, stated.contextLength) !== null && scope !== null;
      const names = isFunctionScope && !this.#isNative(context) ? (scope.contextLocals ?? []) : [];
      for (const [index, name] of names.entries()) {
        const slot = heap.tagged(context, stated.contextLocals + 8 * index);
        const { value, number } = this.#values.variable(slot);
        yield (inner) =>
          member(
            `<closure> ${name}`,
            number === null ? inner(value) : primitive("number", numberText(number)),
          );
      }
      const previous = heap.tagged(context, stated.contextPrevious);
      if (isSmi(previous)) return;
      context = previous;
    }
  }

  #isNative(context: Tagged): boolean {
    return (this.#heap.smi(context, this.#heap.layout.stated.contextLength) ?? 0) > 200;
  }

  *#internalMembers(value: Tagged): Generator<(inner: (value: Tagged) => Described) => Member> {
    const heap = this.#heap;
    const { layout } = heap;
    if (heap.isContext(value)) {
      yield* this.#closureMembers(value);
      return;
    }
    const type = heap.instanceTypeOf(value);
    const isArray =
      type >= layout.type("FIXED_ARRAY_TYPE") && type < layout.type("BYTE_ARRAY_TYPE");
    if (!isArray && !heap.isOfType(value, "PROPERTY_ARRAY_TYPE")) return;
    const length = isArray ? heap.arrayLength(value) : heap.arrayLength(value) & 0x3ff;
    for (let index = 0; index < length; index += 1) {
      const item = heap.arrayItem(value, index);
      yield (inner) => member(null, inner(item));
    }
  }

  #string(value: Tagged, charsMax: number, strings: StringBudget): Described {
    const text = this.#heap.string(value, charsMax, strings);
    const length = this.#heap.stringLength(value);
    if (text === null) {
      const { parts, chars } = strings;
      const isCorrupt = parts > 0 && chars > 0;
      const why = isCorrupt ? "<corrupt string>" : `<string of ${length} characters, not read>`;
      return { kind: "missing", text: why };
    }
    const rest = length > text.length ? `... ${length - text.length} more characters` : "";
    return primitive("string", `${quoted(text)}${rest}`);
  }
}

/** For the strings of one answer. */
function stringBudget(): StringBudget {
  return { parts: STRING_PARTS_MAX, chars: STRING_CHARS_MAX };
}

function primitive(type: string, text: string): Described {
  return { kind: "primitive", type, text };
}

function member(name: string | null, value: Described): Member {
  return { name, key: null, value, isEnumerable: true };
}

function propertyMember(property: Property, inner: (value: Tagged) => Described): Member {
  const { name, isSymbol, isPrivate, accessor, isEnumerable } = property;
  const label = isSymbol && !isPrivate ? `[${name === "" ? "Symbol()" : name}]` : name;
  const value =
    accessor === null
      ? inner(property.value)
      : primitive("accessor", accessorText(accessor.getter, accessor.setter));
  return { name: label, key: null, value, isEnumerable };
}

function accessorText(getter: Tagged, setter: Tagged): string {
  if (getter === CLEARED && setter === CLEARED) return "[Getter/Setter]";
  return setter === CLEARED ? "[Getter]" : "[Getter/Setter]";
}

/** `length` of arrays and functions, and what V8 keeps under symbols of its own. */
function isBookkeeping({ name, isInternal, isSymbol, accessor }: Property): boolean {
  if (isInternal) return true;
  if (!isSymbol)
    return (
      accessor !== null && ["length", "name", "prototype", "arguments", "caller"].includes(name)
    );
  return false;
}

function quoted(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

function emptyItems(count: number): string {
  return `<${count} empty item${count === 1 ? "" : "s"}>`;
}

function numberText(number: number): string {
  return Object.is(number, -0) ? "-0" : String(number);
}

function dateText(milliseconds: number): string {
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? "Invalid Date" : date.toISOString();
}
