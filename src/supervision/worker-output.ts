/** Both output streams of one worker: passed on, split into lines, and the end of it kept. */
import type { Readable } from "node:stream";
import { Tail, Tap } from "./output.ts";
import type { Sink } from "./output.ts";

/** When a process has ended its last words are still in a pipe; they do not take long. */
const LAST_OUTPUT_MS = 25;
/** Output that comes from a child of the worker's that lives on; nobody waits longer for it. */
const FOREIGN_OUTPUT_MS = 200;

/** Our own stdout and stderr. */
export interface WorkerSinks {
  readonly stdout: Sink;
  readonly stderr: Sink;
}

/** See the file's docstring. */
export class WorkerOutput {
  readonly #tail = new Tail();
  readonly #taps: readonly Tap[];

  constructor(
    streams: { readonly stdout: Readable | null; readonly stderr: Readable | null },
    sinks: WorkerSinks,
    onLine: (stream: "stdout" | "stderr", line: string) => void,
  ) {
    this.#taps = (["stdout", "stderr"] as const).flatMap((name) => {
      const stream = streams[name];
      const onBytes = (bytes: Buffer): void => this.#tail.add(bytes);
      if (stream === null) return [];
      return [new Tap(stream, sinks[name], (line) => onLine(name, line), onBytes)];
    });
  }

  /** Whether nothing more will come. */
  get isEnded(): boolean {
    return this.#taps.every((tap) => tap.isEnded);
  }

  /** The worker has ended: waits for what is on its way, and resolves with what it wrote last. */
  async lastWords(): Promise<string> {
    await this.#quiet(LAST_OUTPUT_MS);
    return this.#tail.toString();
  }

  /** Resolves when all that it wrote has been passed on, and listens no more. */
  async flush(): Promise<void> {
    await this.#quiet(FOREIGN_OUTPUT_MS);
    for (const tap of this.#taps) tap.destroy();
  }

  /** Waits for the end of its output, or until for `quietMs` nothing has come. */
  async #quiet(quietMs: number): Promise<void> {
    for (let before = -1; ;) {
      const open = this.#taps.filter((tap) => !tap.isEnded);
      const activity = open.reduce((sum, tap) => sum + tap.activity, 0);
      const isQuiet = activity === before && open.every((tap) => !tap.isPaused);
      if (open.length === 0 || isQuiet) return;
      before = activity;
      await ended(open, quietMs);
    }
  }
}

/** Resolves when all of them have ended, or the time is over. */
function ended(taps: readonly Tap[], timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    for (const tap of taps) {
      tap.onceEnded(() => {
        if (!taps.every((one) => one.isEnded)) return;
        clearTimeout(timer);
        resolve();
      });
    }
  });
}
