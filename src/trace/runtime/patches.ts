/**
 * Functions of the application and of Node that are replaced while a trace wants to know of their
 * calls, and put back as they were. Several traces share one replacement:
 *
 * ```
 *   object.key = outer --> layer of trace 2 --> layer of trace 1 --> the original
 *                  \---- no layer left: the very property that was there is put back
 * ```
 * Whoever has taken a copy of `outer` meanwhile calls the original through it from then on. A call
 * by `new` goes past the layers.
 */
import { types } from "node:util";

export type Call = (self: unknown, args: readonly unknown[]) => unknown;
/** What a trace does around a call. */
export type Layer = (next: Call) => Call;
export type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

const { apply, construct, ownKeys, defineProperty, getOwnPropertyDescriptor, setPrototypeOf } =
  Reflect;

const functionText = Reflect.get(Function.prototype, "toString") as AnyFunction; // it is

/** Whether it can be called by `new` only. */
export function isClass(fn: unknown): boolean {
  return String(apply(functionText, fn, [])).startsWith("class");
}

/**
 * Closed while our own code runs: what that calls is not what the application calls, and a probe of
 * a function that clauses use themselves would never come to an end.
 */
export interface Gate {
  isClosed: boolean;
}

export interface BoundFunction {
  readonly replacement: AnyFunction;
  readonly detach: () => void;
}

interface Patch {
  readonly object: object;
  readonly key: PropertyKey;
  readonly descriptor: PropertyDescriptor;
  readonly original: AnyFunction;
  readonly outer: AnyFunction;
  layers: readonly Layer[];
  current: Call;
}

export class Patches {
  readonly gate: Gate = { isClosed: false };
  readonly #patches: Map<object, Map<PropertyKey, Patch>> = new Map();
  /** Of functions that no object holds, and of their replacements: objects of ours that do. */
  readonly #holders: WeakMap<object, Record<string, unknown>> = new WeakMap();

  /** How many functions are replaced. */
  get size(): number {
    return [...this.#patches.values()].reduce((sum, each) => sum + each.size, 0);
  }

  /**
   * Puts a layer around `object[key]`.
   * @returns what takes it away again, or a text: why it cannot be done
   */
  add(object: object, key: PropertyKey, layer: Layer): (() => void) | string {
    const patch = this.#patches.get(object)?.get(key) ?? this.#install(object, key);
    if (typeof patch === "string") return patch;
    this.#setLayers(patch, [...patch.layers, layer]);
    return () => {
      this.#setLayers(
        patch,
        patch.layers.filter((each) => each !== layer),
      );
      if (patch.layers.length === 0) this.#remove(patch);
    };
  }

  /**
   * Puts a layer around a function that no object holds.
   * @param fn it, or what an earlier call gave
   * @returns what to bind in its place, or a text: why it cannot be done
   */
  bind(fn: unknown, name: string, layer: Layer): BoundFunction | string {
    if (typeof fn !== "function") return `${name} is no function`;
    const holder = this.#holders.get(fn) ?? { [name]: fn };
    const detach = this.add(holder, name, layer);
    if (typeof detach === "string") return detach;
    const replacement = getOwnPropertyDescriptor(holder, name)?.value as AnyFunction; // just put
    this.#holders.set(fn, holder);
    this.#holders.set(replacement, holder);
    return { replacement, detach };
  }

  #install(object: object, key: PropertyKey): Patch | string {
    const descriptor = getOwnPropertyDescriptor(object, key);
    const original: unknown = descriptor?.value;
    if (descriptor === undefined || typeof original !== "function") return "it is no function";
    if (isClass(original)) {
      return "it is a class: name a method of it";
    }
    if (descriptor.writable === false && descriptor.configurable === false) {
      return "it cannot be replaced: it is neither writable nor configurable";
    }
    const fn = original as AnyFunction; // no class: it may be called
    const { gate } = this;
    const base: Call = (self, args) => apply(fn, self, args);
    const holder: { patch: Patch | null } = { patch: null };
    const outer = function (this: unknown, ...args: unknown[]): unknown {
      if (new.target !== undefined) {
        // the application calls it so: then it is a constructor
        return construct(fn, args, (new.target as unknown) === outer ? fn : new.target) as unknown;
      }
      if (gate.isClosed) return apply(fn, this, args);
      gate.isClosed = true;
      try {
        return (holder.patch?.current ?? base)(this, args);
      } finally {
        gate.isClosed = false;
      }
    };
    likeness(fn, outer);
    const patch: Patch = {
      object,
      key,
      descriptor,
      original: fn,
      outer,
      layers: [],
      current: base,
    };
    holder.patch = patch;
    if (!defineProperty(object, key, { ...descriptor, value: outer })) {
      return "it cannot be replaced: its object is frozen";
    }
    const ofObject = this.#patches.get(object) ?? new Map<PropertyKey, Patch>();
    this.#patches.set(object, ofObject.set(key, patch));
    return patch;
  }

  #setLayers(patch: Patch, layers: readonly Layer[]): void {
    patch.layers = layers;
    const { gate } = this;
    const base: Call = (self, args) => {
      gate.isClosed = false;
      try {
        return apply(patch.original, self, args);
      } finally {
        gate.isClosed = true;
      }
    };
    patch.current = layers.reduce((next, layer) => layer(next), base);
  }

  #remove(patch: Patch): void {
    const { object, key, descriptor, outer } = patch;
    const ofObject = this.#patches.get(object);
    ofObject?.delete(key);
    if (ofObject?.size === 0) this.#patches.delete(object);
    // unless the application has replaced it since: then that stays
    if (getOwnPropertyDescriptor(object, key)?.value === outer) {
      defineProperty(object, key, descriptor);
    }
  }
}

/** Gives a replacement the name, length, members and prototypes of the original. */
function likeness(original: AnyFunction, outer: AnyFunction): void {
  setPrototypeOf(outer, Reflect.getPrototypeOf(original));
  for (const key of ownKeys(original)) {
    const descriptor = getOwnPropertyDescriptor(original, key);
    if (descriptor !== undefined) defineProperty(outer, key, descriptor);
  }
}

/** Whether its promise is a fresh one that nobody else has: then its end may be waited for. */
export function isAsyncFunction(fn: unknown): boolean {
  return types.isAsyncFunction(fn);
}

const then = Reflect.get(Promise.prototype, "then") as AnyFunction; // it is

/**
 * The promise of an async function, with somebody told of its end. What the caller gets is the
 * promise behind ours: a rejection that the application does not handle stays unhandled.
 */
export function onSettled(
  promise: unknown,
  settled: (value: unknown, thrown: unknown) => void,
): unknown {
  if (!types.isPromise(promise)) return promise;
  return apply(then, promise, [
    (value: unknown) => {
      settled(value, undefined);
      return value;
    },
    (error: unknown) => {
      settled(undefined, error);
      throw error;
    },
  ]);
}
