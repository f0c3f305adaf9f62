/**
 * Who waits for an async function: the frames that V8 prints as `async f`. The chain starts at the
 * closure that resumed the lowest function, and goes from promise to promise:
 *
 * ```
 *   AwaitResolveClosure --context--> generator --promise--> reaction --handler-->
 * AwaitResolveClosure
 *                                                             |                    of the awaiter
 *                                                             `-- or its promise (then,
 * Promise.all)
 * ```
 */
import type { FunctionReader } from "../v8/functions.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { CLEARED, isSmi, smiValue } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import { positionAt } from "./source-positions.ts";
import type { PositionFormat } from "./source-positions.ts";

const FRAMES_MAX = 64;
const STEPS_MAX = 256;
/** Words behind the continuation of a generator, of which one is its promise (js-generator.tq). */
const GENERATOR_WORDS = [8, 16, 24, 32, 40];
/** Slots of a context behind scope info and previous. */
const CONTEXT_SLOTS = [2, 3, 4, 5];

export interface AsyncFrame {
  readonly shared: Tagged;
  /** Index of a character in the script; null: not known. */
  readonly position: number | null;
  readonly generator: Tagged;
}

export class AsyncChainReader {
  readonly #heap: HeapView;
  readonly #functions: FunctionReader;
  readonly #format: PositionFormat;

  constructor(heap: HeapView, functions: FunctionReader) {
    this.#heap = heap;
    this.#functions = functions;
    this.#format = heap.layout.metadata.hasBreakablePositions ? "flags" : "sign";
  }

  /**
   * @param closure the function of the builtin that resumed the lowest frame
   * @returns the functions that wait for it, nearest first
   */
  below(closure: Tagged): readonly AsyncFrame[] {
    const generator = this.#generatorBehind(closure);
    return generator === CLEARED ? [] : this.waitingFor(this.#promiseOf(generator));
  }

  /** The functions that wait for a suspended async function, nearest first. */
  waitersOf(generator: Tagged): readonly AsyncFrame[] {
    return this.waitingFor(this.#promiseOf(generator));
  }

  /** The functions that wait for a promise, nearest first; one way only where several wait. */
  waitingFor(start: Tagged): readonly AsyncFrame[] {
    const { stated } = this.#heap.layout;
    const frames: AsyncFrame[] = [];
    const seen = new Set<Tagged>();
    let promise = start;
    for (let step = 0; step < STEPS_MAX && frames.length < FRAMES_MAX; step += 1) {
      if (promise === CLEARED || seen.has(promise)) break;
      seen.add(promise);
      const reaction = this.#heap.tagged(promise, stated.promiseReactionsOrResult);
      if (!this.#heap.isOfType(reaction, "PROMISE_REACTION_TYPE")) break;
      const handlers = [stated.reactionFulfill, stated.reactionReject].map((offset) =>
        this.#heap.tagged(reaction, offset),
      );
      const generator = this.#firstGenerator(handlers);
      if (generator === CLEARED) {
        promise = this.#nextPromise(reaction, handlers);
        continue;
      }
      frames.push(this.#frameOf(generator));
      promise = this.#promiseOf(generator);
    }
    return frames;
  }

  #firstGenerator(handlers: readonly Tagged[]): Tagged {
    for (const handler of handlers) {
      const generator = this.#generatorBehind(handler);
      if (generator !== CLEARED) return generator;
    }
    return CLEARED;
  }

  #slotsOf(closure: Tagged): readonly Tagged[] {
    if (!this.#heap.isFunction(closure)) return [];
    const context = this.#functions.contextOf(closure);
    if (!this.#heap.isContext(context)) return [];
    const length = this.#heap.arrayLength(context);
    return CONTEXT_SLOTS.filter((slot) => slot < length && length < 16).map((slot) =>
      this.#heap.arrayItem(context, slot),
    );
  }

  /** The generator that the closure of an await resumes. */
  #generatorBehind(closure: Tagged): Tagged {
    // Builtins have no script: a user's function may hold a generator in its context as well.
    const shared = this.#functions.sharedOf(closure);
    if (shared === CLEARED || this.#functions.scriptOf(shared) !== null) return CLEARED;
    return this.#slotsOf(closure).find((value) => this.isAsyncGenerator(value)) ?? CLEARED;
  }

  /** True for the object of a suspended or running async function or async generator. */
  isAsyncGenerator(value: Tagged): boolean {
    const { layout } = this.#heap;
    const type = this.#heap.instanceTypeOf(value);
    return (
      type === layout.type("JS_ASYNC_FUNCTION_OBJECT_TYPE") ||
      type === layout.type("JS_ASYNC_GENERATOR_OBJECT_TYPE")
    );
  }

  /** The functions that wait until V8's `resolve` or `reject` of a promise is called. */
  waitingUntil(settle: Tagged): readonly AsyncFrame[] {
    const isPromise = (value: Tagged): boolean => this.#heap.isOfType(value, "JS_PROMISE_TYPE");
    const promise = [...this.#slotsOf(settle)].find(isPromise);
    return promise === undefined ? [] : this.waitingFor(promise);
  }

  #promiseOf(generator: Tagged): Tagged {
    const { generatorContinuation } = this.#heap.layout.stated;
    for (const offset of GENERATOR_WORDS) {
      const value = this.#heap.tagged(generator, generatorContinuation + offset);
      if (this.#heap.isOfType(value, "JS_PROMISE_TYPE")) return value;
    }
    return CLEARED;
  }

  /** Through `then`, `Promise.all` and their like: the promise that this one settles. */
  #nextPromise(reaction: Tagged, handlers: readonly Tagged[]): Tagged {
    const { stated } = this.#heap.layout;
    for (const handler of handlers) {
      for (const value of this.#slotsOf(handler)) {
        if (this.#heap.isOfType(value, "PROMISE_CAPABILITY_TYPE")) {
          return this.#heap.tagged(value, stated.capabilityPromise);
        }
        if (this.#heap.isOfType(value, "JS_PROMISE_TYPE")) return value;
      }
    }
    const target = this.#heap.tagged(reaction, stated.reactionPromise);
    if (this.#heap.isOfType(target, "JS_PROMISE_TYPE")) return target;
    if (!this.#heap.isOfType(target, "PROMISE_CAPABILITY_TYPE")) return CLEARED;
    return this.#heap.tagged(target, stated.capabilityPromise);
  }

  #frameOf(generator: Tagged): AsyncFrame {
    const closure = this.#heap.tagged(generator, this.#heap.layout.stated.generatorFunction);
    const shared = this.#functions.sharedOf(closure);
    return { shared, generator, position: this.positionOf(generator, shared) };
  }

  /** Where a suspended function waits. The offset counts from the tagged start of the bytecode. */
  positionOf(generator: Tagged, shared: Tagged): number | null {
    const heap = this.#heap;
    const { layout } = heap;
    const continuation = heap.smi(generator, layout.stated.generatorContinuation) ?? -1;
    const input = heap.tagged(generator, layout.stated.generatorInput);
    if (continuation < 0 || !isSmi(input)) return null;
    const offset = smiValue(input) - (layout.field("BytecodeArray", "data") - 1);
    const bytecode = this.#functions.bytecodeOf(shared);
    const table = heap.byteArray(heap.tagged(bytecode, layout.stated.bytecodePositions));
    return positionAt(table, this.#format, offset)?.scriptOffset ?? null;
  }
}
