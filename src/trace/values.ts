/**
 * What a program may do with the values of the application: look, and nothing that runs the
 * application's code. No getter of the application's, no Proxy, no valueOf, no toString.
 *
 * ```
 *   member(o, k)   own or inherited *data* property, or a getter of Node's own that is listed here
 *   number(v)      of a primitive; an object is NaN
 *   text(v)        of a primitive, an error, a function's name; of another object its class
 * ```
 * All of Node and of the language that is needed is taken when this module is loaded.
 */
import { Server, Socket } from "node:net";
import { types } from "node:util";
import { PROTOTYPES_MAX, STRING_CHARS_MAX } from "./limits.ts";

const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
const { apply } = Reflect;
const { isProxy, isNativeError, isPromise } = types;
const isArray = Array.isArray;
const isView = (value: unknown): value is ArrayBufferView => ArrayBuffer.isView(value);

type Getter = (this: void) => unknown;

/** A getter of the platform's: it runs no code of the application's. */
function getterOf(prototype: object, name: string): readonly [string, Getter] | null {
  const get = getOf(getOwnPropertyDescriptor(prototype, name));
  return get === undefined ? null : [name, get];
}

// an `import` of node:http would load all of undici, which the application would see
const http = process.getBuiltinModule("node:http");
const { ClientRequest } = http;

function getOf(descriptor: PropertyDescriptor | undefined): Getter | undefined {
  return descriptor === undefined ? undefined : (Reflect.get(descriptor, "get") as Getter); // it is
}

const TYPED_ARRAY = getPrototypeOf(Uint8Array.prototype) as object; // it has one

const PLATFORM_GETTERS: ReadonlySet<Getter> = new Set(
  [
    ...["bytesRead", "bytesWritten"].map((name) => getterOf(Socket.prototype, name)),
    getterOf(Server.prototype, "listening"),
    ...["path", "host", "protocol", "method"].map((name) =>
      getterOf(ClientRequest.prototype, name),
    ),
    getterOf(TYPED_ARRAY, "length"),
    getterOf(TYPED_ARRAY, "byteLength"),
    getterOf(ArrayBuffer.prototype, "byteLength"),
    getterOf(Map.prototype, "size"),
    getterOf(Set.prototype, "size"),
  ]
    .filter((entry) => entry !== null)
    .map(([, get]) => get),
);

const IDENTITIES: readonly unknown[] = [
  http.IncomingMessage,
  http.ServerResponse,
  http.OutgoingMessage,
  http.ClientRequest,
  Socket,
];
/**
 * Prototypes of Node's and the language's: they are no Proxy, and above them is nothing of the
 * application's, so `in` runs none of its code.
 */
const PLATFORM_PROTOTYPES: ReadonlySet<object> = new Set(IDENTITIES.flatMap(prototypesOf));

function prototypesOf(made: unknown): readonly object[] {
  const chain: object[] = [];
  let holder = Reflect.get(made as object, "prototype") as object | null; // a class of Node's
  for (; holder !== null; holder = getPrototypeOf(holder) as object | null) chain.push(holder);
  return chain;
}

/** `object.key`, or undefined where looking would run code. */
export function member(object: unknown, key: unknown): unknown {
  if (typeof object === "string") {
    if (key === "length") return object.length;
    return typeof key === "number" ? object[key] : undefined;
  }
  if (typeof object !== "object" && typeof object !== "function") return undefined;
  if (object === null) return undefined;
  if (typeof key !== "string" && typeof key !== "number") return undefined;
  try {
    return lookUp(object, key);
  } catch {
    return undefined; // a binding of a module that is still being loaded: it has no value yet
  }
}

function lookUp(object: object, key: string | number): unknown {
  let holder: object | null = object;
  for (let step = 0; holder !== null && step < PROTOTYPES_MAX; step += 1) {
    if (PLATFORM_PROTOTYPES.has(holder)) {
      // most of what is asked for and not there ends here, without a walk
      if (!(key in holder)) return undefined;
    } else if (isProxy(holder)) return undefined;
    const found = getOwnPropertyDescriptor(holder, key);
    if (found !== undefined) {
      if ("value" in found) return found.value;
      if (key === "headers") return headersOf(object);
      const get = getOf(found);
      return get !== undefined && PLATFORM_GETTERS.has(get) ? platform(get, object) : undefined;
    }
    // its prototype is the application's to choose, but choosing runs no code of a plain object
    holder = getPrototypeOf(holder) as object | null;
  }
  return undefined;
}

/** Node's getters throw on objects of another kind that inherit them. */
function platform(get: Getter, object: object): unknown {
  try {
    return apply(get, object, []);
  } catch {
    return undefined;
  }
}

/**
 * The headers of a message of `node:http` by lower-case name. Node's own getter would keep what it
 * makes, so this is made of `rawHeaders` each time; values of one name are joined as RFC 9110 5.3
 * says.
 */
export function headersOf(message: unknown): Readonly<Record<string, string>> | undefined {
  const raw = dataOf(message, "rawHeaders");
  if (!isArray(raw) || isProxy(raw)) return undefined;
  // no prototype: a header named __proto__ is a header
  const headers = Object.create(null) as Record<string, string>;
  for (let at = 0; at + 1 < raw.length && at < 400; at += 2) {
    const [name, value] = [dataOf(raw, at), dataOf(raw, at + 1)];
    if (typeof name !== "string" || typeof value !== "string") continue;
    const key = name.toLowerCase();
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`;
  }
  return headers;
}

/** One header, without making all of them. */
export function headerOf(message: unknown, wanted: string): string | undefined {
  const raw = dataOf(message, "rawHeaders");
  if (!isArray(raw) || isProxy(raw)) return undefined;
  let found: string | undefined;
  for (let at = 0; at + 1 < raw.length && at < 400; at += 2) {
    const name = dataOf(raw, at);
    if (typeof name !== "string" || name.length !== wanted.length) continue;
    if (name.toLowerCase() !== wanted) continue;
    const value = dataOf(raw, at + 1);
    if (typeof value === "string") found = found === undefined ? value : `${found}, ${value}`;
  }
  return found;
}

function dataOf(object: unknown, key: string | number): unknown {
  if (typeof object !== "object" || object === null || isProxy(object)) return undefined;
  return getOwnPropertyDescriptor(object, key)?.value;
}

/** As JavaScript's, but never of an object. */
export function number(value: unknown): number {
  switch (typeof value) {
    case "number":
      return value;
    case "string":
      return value.length > STRING_CHARS_MAX ? Number.NaN : Number(value);
    case "boolean":
      return value ? 1 : 0;
    case "bigint":
      return Number(value);
    default:
      return Number.NaN;
  }
}

/** What is printed and what is a key; at most `STRING_CHARS_MAX` characters. */
export function text(value: unknown): string {
  switch (typeof value) {
    case "string":
      return cut(value);
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    case "bigint":
      // 1n << 1000000n takes a second to print
      return value > -(2n ** 64n) && value < 2n ** 64n ? String(value) : "[bigint]";
    case "symbol":
      return cut(`Symbol(${value.description ?? ""})`);
    case "function":
      return cut(`[function ${nameOf(value)}]`);
    case "object":
      return value === null ? "null" : cut(objectText(value));
  }
}

export function cut(value: string, max: number = STRING_CHARS_MAX): string {
  return value.length <= max ? value : `${value.slice(0, max - 1)}…`;
}

function objectText(value: object): string {
  if (isProxy(value)) return "[Proxy]";
  if (isNativeError(value)) {
    const message = member(value, "message");
    const name = member(value, "name");
    return `${typeof name === "string" ? name : "Error"}: ${plain(message)}`;
  }
  if (isArray(value)) return `[array of ${value.length}]`;
  if (isView(value)) return `[${className(value)} of ${value.byteLength}]`;
  if (isPromise(value)) return "[Promise]";
  return `[${className(value)}]`;
}

function plain(value: unknown): string {
  return typeof value === "string" ? value.slice(0, STRING_CHARS_MAX) : "";
}

function nameOf(value: unknown): string {
  const name = member(value, "name");
  return typeof name === "string" && name !== "" ? name : "anonymous";
}

/** The name of the class that made an object. */
export function className(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value;
  const made = member(value, "constructor");
  return typeof made === "function" ? nameOf(made) : "Object";
}

/** How long: characters, elements, bytes, entries; of a plain object its own keys. */
export function lengthOf(value: unknown): number | undefined {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null || isProxy(value)) return undefined;
  if (isView(value)) return value.byteLength;
  if (isArray(value)) return value.length;
  const size = member(value, "size") ?? member(value, "length") ?? member(value, "byteLength");
  return typeof size === "number" ? size : undefined;
}

export function isTruthy(value: unknown): boolean {
  return typeof value === "object" ? value !== null : Boolean(value);
}

/** Strict, but null and undefined are one: nobody asks which of them it was. */
export function isEqual(left: unknown, right: unknown): boolean {
  return left === right || (isNothing(left) && isNothing(right));
}

export function isNothing(value: unknown): boolean {
  return value === null || value === undefined;
}

/** Texts by their characters, everything else as numbers; what is no number is not in order. */
export function compare(left: unknown, right: unknown): number {
  if (typeof left === "string" && typeof right === "string") {
    return left < right ? -1 : left > right ? 1 : 0;
  }
  return number(left) - number(right);
}

/** Sum, or one text after the other. */
export function plus(left: unknown, right: unknown): unknown {
  if (typeof left === "string" || typeof right === "string") return cut(text(left) + text(right));
  return number(left) + number(right);
}

/** What may be kept in `self.x` and `this.x`: it must not keep the application's objects alive. */
export function kept(value: unknown): unknown {
  switch (typeof value) {
    case "string":
      return cut(value);
    case "number":
    case "boolean":
    case "undefined":
      return value;
    case "object":
      return value === null ? null : text(value);
    default:
      return text(value);
  }
}
