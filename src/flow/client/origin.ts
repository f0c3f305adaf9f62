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

/** More than half of some forty requests have failed: it is out, although not in a row. */
const RATE_MAX = 0.5;
const RATE_SMOOTHING = 0.03;

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
  /** Part of its requests that failed, the last ones counting most. */
  #failureRate = 0;
  #isLeaving = false;
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

  /** It was chosen. True: as the one request that tries whether it is well again. */
  chosen(): boolean {
    this.pending += 1;
    const isProbe = this.#outUntilMs > 0 && !this.#isProbed;
    if (isProbe) this.#isProbed = true;
    return isProbe;
  }

  /**
   * A request has ended. `isWell`: null where that says nothing about the origin. `isProbe`: what
   * `chosen` said of it.
   */
  ended(isWell: boolean | null, isProbe: boolean): void {
    this.pending -= 1;
    if (this.#isLeaving && this.pending === 0) this.#end();
    if (isProbe) this.#isProbed = false;
    if (isWell === null) return;
    // what was sent before it was left out says nothing new
    if (this.#outUntilMs > 0 && !isProbe) return;
    if (isWell) this.#succeeded(isProbe);
    else this.#failed(isProbe);
  }

  #succeeded(isProbe: boolean): void {
    this.#failuresInRow = 0;
    this.#failureRate -= RATE_SMOOTHING * this.#failureRate;
    if (isProbe) {
      this.#outUntilMs = 0;
      this.#failureRate = 0;
    } else if (this.#failureRate < RATE_MAX / 2) this.#ejections = 0;
  }

  #failed(isProbe: boolean): void {
    this.#failuresInRow += 1;
    this.#failureRate += RATE_SMOOTHING * (1 - this.#failureRate);
    if (this.#eject === null) return;
    const isFailing = this.#failuresInRow >= this.#eject.failures || this.#failureRate > RATE_MAX;
    if (!isProbe && !isFailing) return;
    const outMs = Math.min(this.#eject.maxMs, this.#eject.baseMs * 2 ** this.#ejections);
    this.#ejections = Math.min(20, this.#ejections + 1);
    this.#outUntilMs = nowMs() + outMs;
  }

  /** It is no longer in the list: what it has, also what waits for it, goes on. */
  leave(): void {
    this.#isLeaving = true;
    if (this.pending === 0) this.#end();
  }

  #end(): void {
    this.gate.close();
    void this.connections.close(); // idle ones only: nothing is in flight
  }

  /** Refuses what waits; resolves when what is in flight has ended. */
  async close(): Promise<void> {
    this.gate.close();
    await this.connections.close();
  }
}
