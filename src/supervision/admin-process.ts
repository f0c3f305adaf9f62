/**
 * The admin listener's process as the keeper sees it: a child that answers strangers, so that
 * neither keeper nor reactor ever parses a byte of theirs. It knows the service by its control
 * socket only. Its standard input is the sign that we live.
 *
 * ```
 *   started --exits--> waits --> started --too often--> given up (said once; the service goes on)
 *      +--close: its standard input ends--> ended
 * ```
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { RestartIntensity, entryUrl, monotonicNowMs, parseLogEntry } from "../base/mod.ts";
import type { AdminAddress, LogEntry } from "../base/mod.ts";

const MAIN = fileURLToPath(entryUrl(import.meta.url, "../admin/main.ts"));
/** It has little to keep. */
const NODE_FLAGS = ["--max-semi-space-size=1", "--max-old-space-size=128"] as const;
const RESTARTS = { restarts: 10, periodMs: 60_000 } as const;
const END_MS = 1000;
/** Variables that would bring code of the user's, or of his tools, into it. */
const FOREIGN_VARIABLES: readonly string[] = ["NODE_OPTIONS", "NODE_CHANNEL_FD", "NODE_UNIQUE_ID"];

/** What it is told, as its only argument in JSON. */
export interface AdminOrder {
  /** Null: nothing is served. */
  readonly address: AdminAddress | null;
  /** Where latencies are sent; null: to nobody. */
  readonly otlp: string | null;
  readonly name: string;
  readonly socketPath: string;
  /** Made for the user alone if it is not there. */
  readonly tokenPath: string;
}

/** See the file's docstring. */
export class AdminProcess {
  readonly #order: AdminOrder;
  readonly #say: (entry: LogEntry) => void;
  readonly #intensity = new RestartIntensity(RESTARTS);
  #child: ChildProcess | null = null;
  #isClosing = false;

  constructor(order: AdminOrder, say: (entry: LogEntry) => void) {
    this.#order = order;
    this.#say = say;
    this.#start();
  }

  /** Ends it; resolves when it has ended. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const child = this.#child;
    if (child === null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    child.once("exit", () => resolve());
    child.stdin?.end();
    const late = setTimeout(() => child.kill("SIGKILL"), END_MS);
    await promise;
    clearTimeout(late);
  }

  #start(): void {
    const startedMs = monotonicNowMs();
    const environment = { ...process.env };
    for (const name of FOREIGN_VARIABLES) delete environment[name];
    const child = spawn(process.execPath, [...NODE_FLAGS, MAIN, JSON.stringify(this.#order)], {
      env: environment,
      stdio: ["pipe", "ignore", "pipe"],
      detached: true, // Ctrl-C in the terminal is for us
    });
    this.#child = child;
    child.stdin.on("error", () => undefined); // it has ended: its exit follows
    createInterface({ input: child.stderr }).on("line", (line) => this.#line(line));
    const ended = (how: string): void => {
      if (this.#child !== child) return;
      this.#child = null;
      if (!this.#isClosing) this.#restart(how, monotonicNowMs() - startedMs);
    };
    child.once("exit", (code, signal) => ended(signal ?? `exit ${code}`));
    child.once("error", (error) => ended(error.message));
  }

  #restart(how: string, livedMs: number): void {
    const waitMs = this.#intensity.crashed(monotonicNowMs(), livedMs);
    const next = waitMs === null ? "too often; it stays away" : "the next one starts";
    this.#log("error", `the admin listener ended (${how}), ${next}; the service goes on`);
    if (waitMs === null) return;
    setTimeout(() => {
      if (!this.#isClosing) this.#start();
    }, waitMs).unref();
  }

  #line(line: string): void {
    const entry = parseLogEntry(line);
    if (entry !== null) this.#say(entry);
    else if (line.trim() !== "") this.#log("error", `admin: ${line}`);
  }

  #log(level: LogEntry["level"], message: string): void {
    this.#say({ time: new Date().toISOString(), level, source: "admin", message, fields: {} });
  }
}
