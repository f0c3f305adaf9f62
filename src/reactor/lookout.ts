/**
 * The reactor's side of the lookout: a process that reads a worker's stack from outside.
 *
 * ```
 *   none --a worker falls silent: start--> there --look--> answer | error | too late
 *    ^                                       |
 *    +------- nothing asked for a while -----+
 * ```
 */
import { fileURLToPath } from "node:url";
import { entryUrl } from "../base/mod.ts";
import type { MainStack } from "../base/mod.ts";
import { HelperProcess } from "./helper-process.ts";

const MAIN: string = fileURLToPath(entryUrl(import.meta.url, "../lookout/main.ts"));
/** It takes some 100 MB; a service that stalls will stall again soon. */
const IDLE_MS = 30_000;

type Answer =
  | { readonly id: number; readonly stack: MainStack }
  | { readonly id: number; readonly error: string };

interface Waiting {
  readonly child: HelperProcess | null;
  readonly resolve: (stack: MainStack) => void;
  readonly reject: (error: Error) => void;
}

/** What is asked of it. */
export type Looking = Pick<Lookout, "prepare" | "look">;

/** See the file's docstring. */
export class Lookout {
  readonly #waiting = new Map<number, Waiting>();
  #child: HelperProcess | null = null;
  #idle: NodeJS.Timeout | null = null;
  #lastId = 0;

  /** A look at this process may be wanted soon. */
  prepare(pid: number): void {
    this.#child ??= this.#start(pid);
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#end(), IDLE_MS);
    this.#idle.unref();
  }

  /** The stack of its main thread; rejects when it cannot be had in time. */
  look(pid: number, limitMs: number): Promise<MainStack> {
    this.prepare(pid);
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<MainStack>();
    const child = this.#child;
    this.#waiting.set(id, { child, resolve, reject });
    child?.order({ id, pid });
    const late = (): void => {
      reject(new Error(`no look at it within ${limitMs} ms`));
      // it may hold the worker; when it dies, the kernel lets that one run on
      child?.kill();
      if (this.#child === child) this.#child = null;
    };
    const timer = setTimeout(late, limitMs);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(id);
    });
  }

  #start(pid: number): HelperProcess {
    const ended = (): void => {
      if (this.#child === child) this.#child = null;
      for (const waiting of this.#waiting.values()) {
        if (waiting.child === child) waiting.reject(new Error("the lookout has ended"));
      }
    };
    const child = new HelperProcess(MAIN, [String(pid)], {
      onWord: (word) => this.#answered(word as Answer), // as src/lookout/main.ts has it
      onEnd: ended,
    });
    return child;
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    if ("stack" in answer) waiting?.resolve(answer.stack);
    else waiting?.reject(new Error(answer.error));
  }

  #end(): void {
    this.#child?.end();
    this.#child = null;
  }
}
