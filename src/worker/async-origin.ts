/**
 * Who set the timer whose callback has just failed? A stack ends where Node called the callback;
 * the line that handed it to Node is gone by then, unless it was written down before.
 *
 * ```
 *   adaptive: an uncaught error --> what kind of callback it was, and which --> the reactor
 *             all other workers, those to come, and this one, if it lives, write down from then on
 *             who sets those, and no others
 *   always:   everything is written down from the start: 1 to 4 us for each timer, tick, file
 *   off:      nothing is looked at
 * ```
 * Timers and ticks are known by their function; immediates, microtasks and calls of node:fs do not
 * tell theirs, so all of that kind are written down. Promises need nothing: V8 keeps their awaits.
 */
import { executionAsyncResource } from "node:async_hooks";
import { stackText } from "../base/mod.ts";
import type { AsyncFailure, AsyncOrders } from "../base/mod.ts";

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;
type Kind = AsyncFailure["kind"];

const FRAMES = 8;
/** Of a function's text: enough to tell it from another one of that name and length. */
const HEAD_CHARS = 200;
const ARMED_MAX = 32;

const { apply, defineProperty, getOwnPropertyDescriptor, ownKeys } = Reflect;
const textOf = Reflect.get(Function.prototype, "toString") as AnyFunction; // it is
const OWN: string = import.meta.url;
const OWN_PATH: string = decodeURIComponent(new URL(OWN).pathname);

/** See the file's docstring. */
export class AsyncOrigin {
  readonly #orders: AsyncOrders;
  readonly #told: (failure: AsyncFailure) => void;
  readonly #armed: AsyncFailure[];
  /** Of timers and immediates: where they were set. */
  readonly #origins: WeakMap<object, string> = new WeakMap();
  /** Of the callback that runs now, where Node does not say which one that is. */
  #current: string | null = null;
  #isReplaced = false;

  /** @param told tells the reactor, for all other workers */
  constructor(orders: AsyncOrders, told: (failure: AsyncFailure) => void) {
    this.#orders = orders;
    this.#told = told;
    this.#armed = [...orders.armed];
    if (orders.mode === "off") return;
    process.on("uncaughtExceptionMonitor", (_error, source) => this.#failed(source));
    if (orders.mode === "always" || this.#armed.length > 0) this.#replace();
  }

  /** A callback has failed in another worker. */
  arm(failure: AsyncFailure): void {
    if (this.#orders.mode === "off" || this.#armed.length >= ARMED_MAX) return;
    const { kind, name, length, head } = failure;
    const isKnown = this.#armed.some((each) => {
      const isAlike = each.kind === kind && each.name === name;
      return isAlike && each.length === length && each.head === head;
    });
    if (!isKnown) this.#armed.push(failure);
    this.#replace();
  }

  /** Before Node reports the error, and before the application hears of it. */
  #failed(source: string): void {
    const resource: object = executionAsyncResource();
    const origin = this.#current ?? this.#origins.get(resource) ?? null;
    this.#current = null;
    if (origin !== null) {
      if (!namesApplication(origin)) return; // a stream of Node's has read on, and says nothing
      const lines = origin.split("\n").map((line) => `    at ${line}\n`);
      process.stderr.write(`holdfast: the callback that fails now was set by\n${lines.join("")}`);
      return;
    }
    const failure = source === "uncaughtException" ? describe(resource) : null;
    if (failure === null || this.#armed.length >= ARMED_MAX) return;
    this.arm(failure);
    this.#told(failure);
  }

  /** Whether it is to be written down who sets this callback. */
  #wants(kind: Kind, callback: AnyFunction): boolean {
    if (this.#orders.mode === "always") return true;
    return this.#armed.some((each) => {
      if (each.kind !== kind) return false;
      if (each.name === null) return true;
      if (nameOf(callback) !== each.name) return false;
      const text = String(apply(textOf, callback, []));
      return text.length === each.length && text.startsWith(each.head);
    });
  }

  #replace(): void {
    if (this.#isReplaced) return;
    this.#isReplaced = true;
    const timers = process.getBuiltinModule("node:timers");
    for (const holder of [globalThis, timers]) {
      for (const key of ["setTimeout", "setInterval", "setImmediate"]) {
        replace(holder, key, (original) => this.#timer(key, original));
      }
    }
    replace(process, "nextTick", (original) => this.#wrapped("tick", original, 0));
    replace(globalThis, "queueMicrotask", (original) => this.#wrapped("microtask", original, 0));
    const fs = process.getBuiltinModule("node:fs");
    for (const key of Object.keys(fs)) {
      const isOperation =
        /^[a-z]/.test(key) && !/Sync$|^watch|^unwatch|Stream$|^promises$/.test(key);
      if (isOperation) replace(fs, key, (original) => this.#wrapped("fs", original, -1));
    }
    process.getBuiltinModule("node:module").syncBuiltinESMExports();
  }

  /** Timers are objects, and Node says which of them it is calling. */
  #timer(key: string, original: AnyFunction): AnyFunction {
    const kind = key === "setImmediate" ? "immediate" : "timer";
    // oxlint-disable-next-line typescript/no-this-alias -- a function of its own `this` is made
    const origin = this;
    return function (this: unknown, ...args: unknown[]): unknown {
      const timer: unknown = apply(original, this, args);
      const [callback] = args;
      if (typeof callback !== "function" || typeof timer !== "object" || timer === null) {
        return timer;
      }
      // it was taken by a function of Node's that takes nothing else
      if (origin.#wants(kind, callback as AnyFunction)) origin.#origins.set(timer, here());
      return timer;
    };
  }

  /** Others are not: the callback is wrapped. `at`: which argument it is, -1 the last. */
  #wrapped(kind: Kind, original: AnyFunction, at: 0 | -1): AnyFunction {
    // oxlint-disable-next-line typescript/no-this-alias -- as above
    const origin = this;
    return function (this: unknown, ...args: unknown[]): unknown {
      const index = at === 0 ? 0 : args.length - 1;
      const callback = args[index];
      if (typeof callback !== "function") return apply(original, this, args);
      const called = callback as AnyFunction; // as above
      if (!origin.#wants(kind, called)) return apply(original, this, args);
      const set = here();
      args[index] = function (this: unknown, ...values: unknown[]): unknown {
        const outer = origin.#current;
        origin.#current = set;
        const result = apply(called, this, values); // if it throws, `#current` stays for the report
        origin.#current = outer;
        return result;
      };
      return apply(original, this, args);
    };
  }
}

/** A line of the origin is not Node's. */
function namesApplication(origin: string): boolean {
  return origin.split("\n").some((line) => line !== "" && !line.includes("(node:"));
}

function here(): string {
  return stackText(FRAMES, (script, taken) => {
    return script === OWN || script === OWN_PATH || (taken === 0 && script.startsWith("node:"));
  });
}

/** Puts another function in the place of one, with its name, length and members. */
function replace(holder: object, key: string, make: (original: AnyFunction) => AnyFunction): void {
  const descriptor = getOwnPropertyDescriptor(holder, key);
  const original: unknown = descriptor?.value;
  if (descriptor === undefined || typeof original !== "function") return;
  const made = make(original as AnyFunction); // Node's, no class
  for (const own of ownKeys(original)) {
    const member = getOwnPropertyDescriptor(original, own);
    if (member !== undefined && own !== "prototype") defineProperty(made, own, member);
  }
  defineProperty(holder, key, { ...descriptor, value: made });
}

/** What kind of callback has failed, and which, as far as Node tells (lib/internal/timers.js). */
function describe(resource: object): AsyncFailure | null {
  const { _onTimeout: timer, callback: tick } = resource as {
    readonly _onTimeout?: unknown;
    readonly callback?: unknown;
  };
  if ("_onTimeout" in resource) return callbackOf("timer", timer);
  if ("_onImmediate" in resource) return callbackOf("immediate", null);
  if (typeof tick === "function") return callbackOf("tick", tick);
  const made = resource.constructor.name;
  if (made.startsWith("FSReq") || made.endsWith("FileJob")) return callbackOf("fs", null);
  // a microtask's is an object without anything; so is that of code that runs at the start
  return Reflect.ownKeys(resource).length === 0 ? callbackOf("microtask", null) : null;
}

/** An interval's is gone when it has cleared itself: then all of the kind. */
function callbackOf(kind: Kind, callback: unknown): AsyncFailure {
  if (typeof callback !== "function") return { kind, name: null, length: 0, head: "" };
  const text = String(apply(textOf, callback, []));
  const name = nameOf(callback);
  return { kind, name, length: text.length, head: text.slice(0, HEAD_CHARS) };
}

function nameOf(callback: object): string {
  const name: unknown = getOwnPropertyDescriptor(callback, "name")?.value;
  return typeof name === "string" ? name.slice(0, HEAD_CHARS) : "";
}
