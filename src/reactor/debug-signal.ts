/**
 * SIGUSR2: addresses for debuggers, in the log. Another one closes them.
 *
 * ```
 *   closed --SIGUSR2: workers that spin, else all--> open --SIGUSR2, used up, too late--> closed
 * ```
 * What listens is a process of its own (`src/cli/debug-signal.ts`), which knows the service by its
 * control socket.
 */
import { fileURLToPath } from "node:url";
import { controlSocketPath, entryUrl } from "../base/mod.ts";
import type { ResolvedConfig } from "../base/mod.ts";
import type { LogFields } from "../supervision/mod.ts";
import { HelperProcess } from "./helper-process.ts";

const MAIN: string = fileURLToPath(entryUrl(import.meta.url, "../cli/debug-signal.ts"));
/** The heartbeat is 100 ms. */
const SPINS_AFTER_MS = 500;
/** Of a service with many workers the log would be full of addresses. */
const ADDRESSES_MAX = 16;

/** A worker as far as this is concerned. */
export interface Debuggable {
  readonly index: number;
  readonly silentMs: number;
}

interface Address {
  readonly worker: number;
  readonly webSocketUrl: string;
  readonly devToolsUrl: string;
}

/** The workers that are meant: those that make no progress, else all. */
export function meantWorkers(workers: readonly Debuggable[]): readonly number[] {
  const spinning = workers.filter(({ silentMs }) => silentMs >= SPINS_AFTER_MS);
  const meant = spinning.length > 0 ? spinning : workers;
  return [...new Set(meant.map(({ index }) => index))].toSorted((a, b) => a - b);
}

/** See the file's docstring. */
export class DebugSignal {
  readonly #log: (level: "info" | "warn", message: string, fields: LogFields) => void;
  #child: HelperProcess | null = null;

  constructor(log: (level: "info" | "warn", message: string, fields: LogFields) => void) {
    this.#log = log;
  }

  received(
    { runtimeDir, name }: Pick<ResolvedConfig, "runtimeDir" | "name">,
    workers: readonly Debuggable[],
  ): void {
    if (this.#child !== null) {
      this.#child.end(); // its exit follows
      return;
    }
    const indices = meantWorkers(workers);
    if (indices.length === 0) {
      this.#log("warn", "SIGUSR2: there is no worker that could be debugged", {});
      return;
    }
    if (indices.length > ADDRESSES_MAX) {
      const rest = `${ADDRESSES_MAX} of ${indices.length}; the others: holdfast debug <worker>`;
      this.#log("warn", `SIGUSR2: addresses for ${rest}`, {});
    }
    const socketPath = controlSocketPath(runtimeDir, name);
    this.#start({ name, socketPath, workers: indices.slice(0, ADDRESSES_MAX) });
  }

  #start(order: object): void {
    this.#child = new HelperProcess(MAIN, [JSON.stringify(order)], {
      onWord: (word) => this.#opened(word as Address), // as src/cli/debug-signal.ts has it
      onEnd: (why) => {
        this.#child = null;
        if (why === "") this.#log("info", "the addresses for debuggers are closed", {});
        else this.#log("warn", `no address for a debugger: ${why}`, {});
      },
    });
  }

  #opened({ worker, webSocketUrl, devToolsUrl }: Address): void {
    const how = "once and within 10 minutes (SIGUSR2 again: closed)";
    const message = `worker ${worker} can be debugged, ${how}: ${webSocketUrl}`;
    this.#log("warn", message, { worker, webSocketUrl, devToolsUrl });
  }
}
