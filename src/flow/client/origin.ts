/**
 * One origin of a pool: its gate, its connections, and whether it is well.
 *
 * ```
 *   well --failures in a row--> ejected --time--> probing: one request at a time
 *     ^                            ^                |  |
 *     |                            +----failed------+  |
 *     +------------------------answered----------------+
 * ```
 * After that its gate's limit climbs from where timeouts have brought it: a slow re-entry.
 */
import { nowMs } from "../clock.ts";
import { Gate } from "../gate.ts";
import type { GateOptions, QueueOptions } from "../gate.ts";
import type { DispatchOptions } from "./exchange.ts";
import type { Handler } from "./handlers.ts";

export interface EjectOptions {
  /** Failures in a row; default 5. */
  readonly failures: number;
  /** First time out, doubled with each; default 1,000. */
  readonly baseMs: number;
  /** Longest time out; default 30,000. */
  readonly maxMs: number;
}

/** An upstream takes its time: a wait of some tens of milliseconds is no overload. */
const CLIENT_QUEUE: QueueOptions = { max: 1000, targetMs: 100, intervalMs: 500, maxWaitMs: 1000 };

/** What sends: a pool of undici's, or the dispatcher of Node's own `fetch`. */
export interface Connections {
  dispatch(options: DispatchOptions, handler: Handler): boolean;
  close(): Promise<void>;
  destroy(reason: Error | null): Promise<void>;
}

/** See the file's docstring. */
export class Origin {
  readonly url: string;
  readonly gate: Gate;
  readonly connections: Connections;
  readonly #eject: EjectOptions | null;
  #failuresInRow = 0;
  #ejections = 0;
  #outUntilMs = 0;
  #isProbed = false;
  /** No longer in the list: ends when its last request has. */
  isLeaving = false;
  /** Requests that it has, also those that wait for its gate. */
  pending = 0;

  constructor(
    url: string,
    gate: Omit<GateOptions, "name" | "account">,
    connections: Connections,
    eject: EjectOptions | null,
  ) {
    this.url = url;
    const queue = { ...CLIENT_QUEUE, ...gate.queue };
    this.gate = new Gate({ ...gate, queue, name: url, account: null });
    this.connections = connections;
    this.#eject = eject;
  }

  /** Whether it may be chosen now. */
  get isUsable(): boolean {
    if (this.#outUntilMs === 0) return true;
    return nowMs() >= this.#outUntilMs && !this.#isProbed;
  }

  get isEjected(): boolean {
    return this.#outUntilMs > 0;
  }

  /** It was chosen. */
  chosen(): void {
    this.pending += 1;
    if (this.#outUntilMs > 0) this.#isProbed = true;
  }

  /** A request has ended. `isWell`: null where that says nothing about the origin. */
  ended(isWell: boolean | null): void {
    this.pending -= 1;
    this.#isProbed = false;
    if (isWell === null) return;
    if (isWell) {
      this.#failuresInRow = 0;
      if (this.#outUntilMs > 0) this.#outUntilMs = 0;
      else this.#ejections = 0;
      return;
    }
    this.#failuresInRow += 1;
    if (this.#eject === null) return;
    const isProbe = this.#outUntilMs > 0;
    if (!isProbe && this.#failuresInRow < this.#eject.failures) return;
    const outMs = Math.min(this.#eject.maxMs, this.#eject.baseMs * 2 ** this.#ejections);
    this.#ejections = Math.min(20, this.#ejections + 1);
    this.#outUntilMs = nowMs() + outMs;
  }

  /** Nothing new comes; what it has goes on. */
  async close(): Promise<void> {
    this.isLeaving = true;
    this.gate.close();
    await this.connections.close();
  }
}
