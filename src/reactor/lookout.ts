/**
 * The reactor's side of the lookout: a process that reads a worker's stack from outside.
 *
 * ```
 *   none --a worker falls silent: start--> there --look--> answer | error | too late
 *    ^                                       |
 *    +------- nothing asked for a while -----+
 * ```
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { entryUrl } from "../base/mod.ts";
import type { MainStack } from "../base/mod.ts";

const MAIN: string = fileURLToPath(entryUrl(import.meta.url, "../lookout/main.ts"));
const FOREIGN_VARIABLES: readonly string[] = ["NODE_OPTIONS", "NODE_CHANNEL_FD", "NODE_UNIQUE_ID"];
/** It takes some 100 MB; a service that stalls will stall again soon. */
const IDLE_MS = 30_000;

type Answer =
  | { readonly id: number; readonly stack: MainStack }
  | { readonly id: number; readonly error: string };

interface Waiting {
  readonly resolve: (stack: MainStack) => void;
  readonly reject: (error: Error) => void;
}

/** A child's pipes are sockets; @types/node calls them streams. */
export function unref(each: object): void {
  (each as { unref?: () => void }).unref?.();
}

/** See the file's docstring. */
export class Lookout {
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess | null = null;
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
    this.#waiting.set(id, { resolve, reject });
    this.#child?.stdin?.write(`${JSON.stringify({ id, pid })}\n`);
    const late = (): void => reject(new Error(`no look at it within ${limitMs} ms`));
    const timer = setTimeout(late, limitMs);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(id);
    });
  }

  #start(pid: number): ChildProcess {
    const environment = { ...process.env };
    for (const variable of FOREIGN_VARIABLES) delete environment[variable];
    const child = spawn(process.execPath, [MAIN, String(pid)], {
      env: environment,
      stdio: ["pipe", "pipe", "ignore"],
      detached: true, // Ctrl-C in the terminal is for us
    });
    child.stdin.on("error", () => undefined); // it has ended: its exit follows
    // the lookout is ours, of the same version
    const read = (line: string): void => this.#answered(JSON.parse(line) as Answer);
    createInterface({ input: child.stdout }).on("line", read);
    const ended = (): void => {
      if (this.#child === child) this.#child = null;
      for (const { reject } of this.#waiting.values()) reject(new Error("the lookout has ended"));
    };
    child.once("exit", ended);
    child.once("error", ended);
    // it ends with us, and keeps nobody
    for (const each of [child, child.stdin, child.stdout]) unref(each);
    return child;
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    if ("stack" in answer) waiting?.resolve(answer.stack);
    else waiting?.reject(new Error(answer.error));
  }

  #end(): void {
    this.#child?.stdin?.end();
    this.#child = null;
  }
}
