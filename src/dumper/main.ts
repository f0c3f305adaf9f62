/**
 * The dumper (`--core`): a process that watches the workers and copies the memory of one that is
 * about to die into a file. Started by the reactor; orders come as lines of JSON on standard input,
 * and it ends when that does.
 *
 * ```
 *   worker gets a fatal signal, or -+                        +--> "held": its connections can go on
 *   asks for it before it exits,   -+--> all threads stopped-+     elsewhere from now on
 *   or was frozen by the reactor   -+                        +--> a thread writes the file
 *   <-- the signal takes effect; it exits; it is killed -------- "done" <--+ then it is compressed
 * ```
 * The kernel tells nobody of the end of a watched process before us, so nothing here blocks.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";
import { entryUrl } from "../base/mod.ts";
import { ESRCH, PtraceWatch, SystemCallError } from "../os/mod.ts";
import type { WatchEvent } from "../os/mod.ts";
import { CoreStore } from "./core-store.ts";
import type { DumpOrder, DumpOutcome } from "./dump-thread.ts";

/** What the reactor says. */
export type DumperOrder =
  | { readonly kind: "watch"; readonly id: number; readonly index: number; readonly pid: number }
  /** It is frozen: copy it now. */
  | { readonly kind: "copy"; readonly pid: number };

/** What it is told. */
export type DumperWord =
  /** Its threads stand still and nothing of the application runs any more. */
  | { readonly kind: "held"; readonly id: number; readonly path: string }
  /** The memory is in a file, or why not; the worker goes on to its end. */
  | { readonly kind: "done"; readonly id: number; readonly error: string | null }
  | { readonly kind: "kept"; readonly path: string; readonly bytes: number; readonly ms: number }
  | { readonly kind: "failed"; readonly message: string };

interface Watched {
  readonly id: number;
  readonly index: number;
  readonly pid: number;
  isBusy: boolean;
}

interface Stopped {
  readonly tid: number;
  /** 0: none. */
  readonly signal: number;
}

/** Signals whose default is the end of the process with a core (signal(7)). */
const FATAL: readonly number[] = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];
/** Ignored by default, so that it does no harm where nobody watches. */
const SIGURG = 23;
/** A worker that is being copied serves nobody; more than this is not waited for. */
const COPY_MS_MAX = 20_000;
/** EX_CANTCREAT of sysexits.h: the next one would not find a better folder. */
const EXIT_NO_FOLDER = 73;
/** After another tool was let at a worker. */
const AGAIN_MS = 150;
/** While another tool is at a worker that is to be copied now. */
const SOON_MS = 10;
const SEIZE_MS_MAX = 2000;

class Dumper {
  readonly #watch = new PtraceWatch();
  readonly #watched = new Map<number, Watched>();
  readonly #store: CoreStore;
  #writer: Worker = startWriter();

  constructor(store: CoreStore) {
    this.#store = store;
  }

  order(order: DumperOrder): void {
    if (order.kind === "watch") {
      const { id, index, pid } = order;
      this.#watched.set(pid, { id, index, pid, isBusy: false });
      this.#seize(pid, true);
      return;
    }
    this.look();
    const worker = this.#watched.get(order.pid);
    if (worker !== undefined && !worker.isBusy) this.#copyFrozen(worker, performance.now());
  }

  /** It was let go of, maybe, for somebody who looks at it and has soon done. */
  #copyFrozen(worker: Watched, sinceMs: number): void {
    const { pid } = worker;
    if (!this.#watch.watches(pid)) this.#trySeize(pid);
    const isLate = performance.now() - sinceMs > SEIZE_MS_MAX;
    if (this.#watch.watches(pid) || isLate) this.#copy(worker, null, null);
    else if (this.#watched.has(pid)) setTimeout(() => this.#copyFrozen(worker, sinceMs), SOON_MS);
  }

  /** Something has happened to a worker. */
  look(): void {
    for (const event of this.#watch.events()) this.#event(event);
  }

  /** Somebody else wants to look at workers: they are watched again when he has done. */
  letGo(): void {
    for (const { pid, isBusy } of this.#watched.values()) if (!isBusy) this.#watch.leave(pid);
    setTimeout(() => {
      for (const { pid, isBusy } of this.#watched.values()) if (!isBusy) this.#seize(pid, false);
    }, AGAIN_MS);
  }

  #seize(pid: number, isFirst: boolean): void {
    const failure = this.#trySeize(pid);
    if (failure === null) return;
    if (isFirst) say({ kind: "failed", message: `cannot watch a worker: ${failure}` });
    else setTimeout(() => this.#seizeAgain(pid), AGAIN_MS);
  }

  /** Why it cannot be watched; null: it is, or it has gone. */
  #trySeize(pid: number): string | null {
    try {
      this.#watch.seize(pid);
      return null;
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      if (error.errno !== ESRCH) return error.message;
      this.#watched.delete(pid);
      return null;
    }
  }

  #seizeAgain(pid: number): void {
    if (this.#watched.get(pid)?.isBusy === false) this.#seize(pid, false);
  }

  #event(event: WatchEvent): void {
    if (event.kind === "ended") {
      this.#watched.delete(event.tid);
      return;
    }
    const { tid, pid, signal, sender, code, faultAddress } = event;
    const worker = this.#watched.get(pid);
    const isRequest = signal === SIGURG && sender === pid;
    if (worker === undefined || worker.isBusy) this.#watch.resume(tid, signal);
    else if (isRequest) this.#copy(worker, { tid, signal: 0 }, null);
    else if (FATAL.includes(signal) && isDefault(pid, signal)) {
      const senderPid = code <= 0 ? sender : null;
      this.#copy(worker, { tid, signal }, { tid, number: signal, code, faultAddress, senderPid });
    } else this.#watch.resume(tid, signal);
  }

  /**
   * @param stopped the thread that stands still already, and goes on with its signal
   * @param fatal the signal that ends it, for the core to tell
   */
  #copy(worker: Watched, stopped: Stopped | null, fatal: DumpOrder["fatal"]): void {
    worker.isBusy = true;
    const { id, index, pid } = worker;
    const registers = this.#watch.hold(pid, stopped?.tid ?? null);
    const path = this.#store.next(index, pid);
    say({ kind: "held", id, path: `${path}.zst` });
    const startedMs = performance.now();
    const writer = this.#writer;
    this.#writer = startWriter();
    void write(writer, { pid, path, registers, fatal }).then(({ error, bytes }) => {
      // what was frozen stays so: the reactor kills it
      if (stopped !== null) this.#watch.release(pid, stopped.tid, stopped.signal);
      this.look();
      say({ kind: "done", id, error });
      if (error === null) void this.#keep(path, bytes, performance.now() - startedMs);
    });
  }

  async #keep(path: string, bytes: number, ms: number): Promise<void> {
    try {
      const kept = await this.#store.keep(path);
      say({ kind: "kept", path: kept.path, bytes: kept.bytes, ms: Math.round(ms) });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      say({ kind: "failed", message: `cannot keep the core ${path} of ${bytes} bytes: ${why}` });
    }
  }
}

/** Whether nobody handles the signal and it is not ignored (proc_pid_status(5)). */
function isDefault(pid: number, signal: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return false; // it has gone
  }
  return ["SigIgn", "SigCgt"].every((name) => {
    const mask = new RegExp(`^${name}:\\s*([0-9a-f]+)`, "m").exec(status)?.[1] ?? "0";
    return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 0n;
  });
}

/** A thread that has loaded all that it needs: a worker that is to be copied waits for nothing. */
function startWriter(): Worker {
  const thread = new Worker(entryUrl(import.meta.url, "./dump-thread.ts"));
  thread.on("error", (error) => say({ kind: "failed", message: `a writer: ${String(error)}` }));
  return thread;
}

/** Never rejects. */
function write(thread: Worker, order: DumpOrder): Promise<DumpOutcome> {
  const { promise, resolve } = Promise.withResolvers<DumpOutcome>();
  thread.postMessage(order);
  const late = setTimeout(() => {
    void thread.terminate();
    resolve({ error: `it took more than ${COPY_MS_MAX / 1000} s`, bytes: 0 });
  }, COPY_MS_MAX);
  thread.once("message", (outcome: DumpOutcome) => resolve(outcome));
  thread.once("error", (error) => resolve({ error: String(error), bytes: 0 }));
  thread.once("exit", () => resolve({ error: "its writer has ended", bytes: 0 }));
  return promise.finally(() => clearTimeout(late));
}

function say(word: DumperWord): void {
  process.stdout.write(`${JSON.stringify(word)}\n`);
}

function main(): void {
  const [folder = "", service = "", limit = ""] = process.argv.slice(2);
  let store: CoreStore;
  try {
    store = new CoreStore(folder, service, Number(limit));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    say({ kind: "failed", message: `cannot keep cores in ${folder}: ${why}; see --core` });
    process.exitCode = EXIT_NO_FOLDER;
    return;
  }
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => undefined); // for the keeper; we end with the reactor
  }
  process.stdout.on("error", () => process.exit(0)); // the reactor has gone
  const dumper = new Dumper(store);
  process.on("SIGCHLD", () => dumper.look());
  process.on("SIGUSR2", () => dumper.letGo());
  const orders = createInterface({ input: process.stdin });
  orders.on("line", (line) => dumper.order(JSON.parse(line) as DumperOrder)); // the reactor's
  orders.on("close", () => void store.settled().then(() => process.exit(0)));
}

main();
