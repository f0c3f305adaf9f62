/**
 * Cores of workers that crash or are evicted (`--core`): the reactor's side of the dumper, a
 * process of its own that does all that takes time.
 *
 * ```
 *   frozen by us --copy--> dumper --held--> (recovered already) --done--> killed
 *   a fatal signal, an uncaught error ----> recovered at once   --done--> it ends by itself
 * ```
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { entryUrl } from "../base/mod.ts";
import type { ResolvedConfig } from "../base/mod.ts";
import type { LogFields } from "../supervision/mod.ts";
import type { WorkerLink } from "./worker-link.ts";

const MAIN: string = fileURLToPath(entryUrl(import.meta.url, "../dumper/main.ts"));
const FOREIGN_VARIABLES: readonly string[] = ["NODE_OPTIONS", "NODE_CHANNEL_FD", "NODE_UNIQUE_ID"];
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
  path: string | null;
  error: string | null;
  onDone: (() => void) | null;
}

export interface CoresPorts {
  config(): Pick<ResolvedConfig, "core" | "coreLimitBytes" | "name">;
  /** Nothing runs in that worker any more: its connections can go on elsewhere. */
  readonly held: (link: WorkerLink) => void;
  readonly log: (level: "info" | "warn", message: string, fields: LogFields) => void;
}

/** See the file's docstring. Without `--core` it does nothing. */
export class Cores {
  readonly #ports: CoresPorts;
  readonly #watched = new Map<number, Watched>();
  #child: ChildProcess | null = null;
  #starts = 0;
  /** The service ends, or no dumper can work. */
  #isClosed = false;

  constructor(ports: CoresPorts) {
    this.#ports = ports;
  }

  /** A worker has been started. */
  watch(link: WorkerLink): void {
    if (this.#ports.config().core === null) return;
    this.#watched.set(link.id, { link, path: null, error: null, onDone: null });
    if (this.#child !== null) this.#order(link);
    else if (this.#starts === 0) this.#start(); // else the next one is on its way
  }

  /** Copies a worker that is frozen, and calls back, also when that is not possible. */
  copy(link: WorkerLink, onDone: () => void): void {
    const watched = this.#watched.get(link.id);
    if (watched === undefined || this.#child === null || watched.onDone !== null) {
      onDone();
      return;
    }
    const late = setTimeout(() => this.#done(link.id, "the dumper does not answer"), COPY_MS_MAX);
    watched.onDone = () => {
      clearTimeout(late);
      onDone();
    };
    this.#write({ kind: "copy", pid: link.pid });
  }

  /** Its process has ended: what is there; null without `--core`. */
  outcome(id: number): CoreOutcome | null {
    const watched = this.#watched.get(id);
    this.#watched.delete(id);
    if (watched === undefined) return null;
    if (watched.error !== null) return { none: watched.error };
    if (watched.path !== null) return { path: watched.path };
    if (this.#isClosed) return { none: "the dumper cannot work, see the log" };
    return { none: "it ended by itself, or was killed: nobody could stop it before" };
  }

  /** No more workers. What is being compressed is finished. */
  close(): void {
    this.#isClosed = true;
    this.#child?.stdin?.end();
  }

  #start(): void {
    const { core, coreLimitBytes, name } = this.#ports.config();
    if (core === null || this.#isClosed) return;
    this.#starts += 1;
    const environment = { ...process.env };
    for (const variable of FOREIGN_VARIABLES) delete environment[variable];
    const args = [MAIN, core, name, String(coreLimitBytes)];
    const child = spawn(process.execPath, args, {
      env: environment,
      stdio: ["pipe", "pipe", "pipe"],
      detached: true, // Ctrl-C in the terminal is for us
    });
    this.#child = child;
    let said = "";
    child.stdin.on("error", () => undefined); // it has ended: its exit follows
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = `${said}${text}`.slice(-1000);
    });
    // the dumper is ours, of the same version
    const read = (line: string): void => this.#word(JSON.parse(line) as Word);
    createInterface({ input: child.stdout }).on("line", read);
    const ended = (how: string): void => {
      if (this.#child === child) this.#ended(`${how} ${said}`.trim());
    };
    child.once("exit", (code, signal) => ended(signal ?? `exit ${code}`));
    child.once("error", (error) => ended(error.message));
    for (const { link } of this.#watched.values()) this.#order(link);
  }

  #ended(how: string): void {
    this.#child = null;
    for (const [id, { onDone }] of this.#watched) {
      if (onDone !== null) this.#done(id, "the dumper has ended");
    }
    if (this.#isClosed) return;
    const isLast = this.#starts >= STARTS_MAX || how.startsWith(NO_FOLDER);
    const next = isLast ? "no cores are kept any more" : "the next one starts";
    this.#ports.log("warn", `the dumper of cores has ended (${how}); ${next}`, {});
    this.#isClosed = isLast;
    if (!isLast) setTimeout(() => this.#start(), START_AGAIN_MS).unref();
  }

  #order({ id, index, pid }: WorkerLink): void {
    this.#write({ kind: "watch", id, index, pid });
  }

  #write(order: object): void {
    this.#child?.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  #word(word: Word): void {
    switch (word.kind) {
      case "held": {
        const watched = this.#watched.get(word.id);
        if (watched === undefined) return;
        watched.path = word.path;
        if (watched.onDone === null) this.#ports.held(watched.link);
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

  #done(id: number, error: string | null): void {
    const watched = this.#watched.get(id);
    if (watched === undefined) return;
    watched.error ??= error;
    if (error !== null && watched.path !== null) {
      this.#ports.log("warn", `there is no core of worker ${watched.link.index}: ${error}`, {});
    }
    const { onDone } = watched;
    watched.onDone = null;
    onDone?.();
  }
}
