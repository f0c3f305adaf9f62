/**
 * Cores of workers that crash or are evicted (`--core`): the reactor's side of the dumper, a
 * process of its own that does all that takes time.
 *
 * ```
 *   frozen by us --copy--> dumper --held--> (recovered already) --done--> killed
 *   a fatal signal, an uncaught error ----> recovered at once   --done--> it ends by itself
 * ```
 */
import { setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { entryUrl } from "../base/mod.ts";
import type { ResolvedConfig } from "../base/mod.ts";
import type { LogFields } from "../supervision/mod.ts";
import { HelperProcess } from "./helper-process.ts";
import type { HelperListeners } from "./helper-process.ts";
import type { WorkerLink } from "./worker-link.ts";

const MAIN: string = fileURLToPath(entryUrl(import.meta.url, "../dumper/main.ts"));
const STARTS_MAX = 5;
const START_AGAIN_MS = 1000;
/** The folder cannot be used: trying again does not help. */
const NO_FOLDER = "exit 73";
/** A frozen worker is killed after that, whatever the dumper does; it gives up before. */
const COPY_MS_MAX = 22_000;

type Word =
  | { readonly kind: "held"; readonly id: number; readonly path: string }
  | { readonly kind: "done"; readonly id: number; readonly error: string | null }
  | { readonly kind: "kept"; readonly path: string; readonly bytes: number; readonly ms: number }
  | { readonly kind: "failed"; readonly message: string };

/** What became of the core of a worker. */
export type CoreOutcome = { readonly path: string } | { readonly none: string };

interface Watched {
  readonly link: WorkerLink;
  /** Null: it was never held. */
  path: string | null;
  error: string | null;
  /** It was frozen by us, to be copied. */
  isFrozen: boolean;
  /** The dumper has done with it, or there is none any more. */
  isDone: boolean;
  readonly onDone: (() => void)[];
}

export interface CoresPorts {
  config(): Pick<ResolvedConfig, "core" | "coreLimitBytes" | "name">;
  /** Nothing runs in that worker any more: its connections can go on elsewhere. */
  readonly held: (link: WorkerLink) => void;
  readonly log: (level: "info" | "warn", message: string, fields: LogFields) => void;
  /** A process that runs the file `main`. */
  start?(main: string, args: readonly string[], listeners: HelperListeners): Helper;
}

type Helper = Pick<HelperProcess, "order" | "end">;

/** See the file's docstring. Without `--core` it does nothing. */
export class Cores {
  readonly #ports: CoresPorts;
  readonly #watched = new Map<number, Watched>();
  #child: Helper | null = null;
  #starts = 0;
  /** The service ends, or no dumper can work. */
  #isClosed = false;

  constructor(ports: CoresPorts) {
    this.#ports = ports;
  }

  /** A worker has been started. */
  watch(link: WorkerLink): void {
    if (this.#ports.config().core === null) return;
    const nothing = { path: null, error: null, isFrozen: false, isDone: false };
    this.#watched.set(link.id, { link, ...nothing, onDone: [] });
    if (this.#child !== null) this.#order(link);
    else if (this.#starts === 0) this.#start(); // else the next one is on its way
  }

  /** Copies a worker that is frozen, and calls back, also when that is not possible. */
  copy(link: WorkerLink, onDone: () => void): void {
    const watched = this.#watched.get(link.id);
    if (watched === undefined || this.#child === null || watched.isFrozen) {
      onDone();
      return;
    }
    watched.isFrozen = true;
    this.#await(watched, onDone);
    this.#child.order({ kind: "copy", pid: link.pid });
  }

  /**
   * Its process has ended: what is there, once the dumper has told, which it may have done after
   * it let go of the worker; null without `--core`.
   */
  async outcome(id: number): Promise<CoreOutcome | null> {
    const watched = this.#watched.get(id);
    if (watched === undefined) return null;
    await turn(); // that it was held was said long before, and is read with the end of the process
    if (watched.path !== null && !watched.isDone) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#await(watched, resolve);
      await promise;
    }
    this.#watched.delete(id);
    if (watched.error !== null) return { none: watched.error };
    if (watched.path !== null) return { path: watched.path };
    if (this.#isClosed) return { none: "the dumper cannot work, see the log" };
    return { none: "it ended by itself, or was killed: nobody could stop it before" };
  }

  /** No more workers. What is being compressed is finished. */
  close(): void {
    this.#isClosed = true;
    this.#child?.end();
  }

  #start(): void {
    const { core, coreLimitBytes, name } = this.#ports.config();
    if (core === null || this.#isClosed) return;
    this.#starts += 1;
    const args = [core, name, String(coreLimitBytes)];
    const listeners: HelperListeners = {
      onWord: (word) => this.#word(word as Word), // as src/dumper/main.ts has it
      onEnd: (how) => this.#ended(how === "" ? "exit 0" : how),
    };
    this.#child =
      this.#ports.start?.(MAIN, args, listeners) ?? new HelperProcess(MAIN, args, listeners);
    for (const { link } of this.#watched.values()) this.#order(link);
  }

  #ended(how: string): void {
    this.#child = null;
    for (const [id, { onDone }] of this.#watched) {
      if (onDone.length > 0) this.#done(id, "the dumper has ended");
    }
    if (this.#isClosed) return;
    const isLast = this.#starts >= STARTS_MAX || how.startsWith(NO_FOLDER);
    const next = isLast ? "no cores are kept any more" : "the next one starts";
    this.#ports.log("warn", `the dumper of cores has ended (${how}); ${next}`, {});
    this.#isClosed = isLast;
    if (!isLast) setTimeout(() => this.#start(), START_AGAIN_MS).unref();
  }

  #order({ id, index, pid }: WorkerLink): void {
    this.#child?.order({ kind: "watch", id, index, pid });
  }

  #word(word: Word): void {
    switch (word.kind) {
      case "held": {
        const watched = this.#watched.get(word.id);
        if (watched === undefined) return;
        watched.path = word.path;
        if (!watched.isFrozen) this.#ports.held(watched.link);
        return;
      }
      case "done":
        this.#done(word.id, word.error);
        return;
      case "kept": {
        const { path, bytes, ms } = word;
        const fields = { bytes, ms };
        this.#ports.log("info", `core: ${path}; holdfast autopsy ${path} stacks`, fields);
        return;
      }
      case "failed":
        this.#ports.log("warn", word.message, {});
    }
  }

  #await({ link, onDone }: Watched, done: () => void): void {
    const late = setTimeout(() => this.#done(link.id, "the dumper does not answer"), COPY_MS_MAX);
    onDone.push(() => {
      clearTimeout(late);
      done();
    });
  }

  #done(id: number, error: string | null): void {
    const watched = this.#watched.get(id);
    if (watched === undefined) return;
    watched.isDone = true;
    watched.error ??= error;
    if (error !== null && watched.path !== null) {
      this.#ports.log("warn", `there is no core of worker ${watched.link.index}: ${error}`, {});
    }
    for (const each of watched.onDone.splice(0)) each();
  }
}
