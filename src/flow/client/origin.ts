/**
 * One origin of a pool: its gate, its connections, and whether it is well.
 *
 * ```
 *   well --failures in a row--> ejected --time--> probing: one request at a time
 *     ^                            ^                |  |
 *     |                            +----failed------+  |
 *     +--reentryMs-- entering <---------answered-------+
 * ```
 * One that enters again is chosen for a part of the requests, which grows with time: what has just
 * started, or has just been relieved, does not get everything at once.
 */
import { nowMs } from "../clock.ts";
import { Gate } from "../gate.ts";
import type { GateOptions, QueueOptions } from "../gate.ts";
import { account } from "../work.ts";
import type { Work } from "../work.ts";
import type { DispatchOptions } from "./exchange.ts";
import type { Handler } from "./handlers.ts";

export interface EjectOptions {
  /** Failures in a row; default 5. */
  readonly failures: number;
  /** First time out, doubled with each; default 1,000. */
  readonly baseMs: number;
  /** Longest time out; default 30,000. */
  readonly maxMs: number;
  /** Until it has its whole part of the requests again; default 10,000. */
  readonly reentryMs: number;
}

/** An upstream takes its time: a wait of some tens of milliseconds is no overload. */
const CLIENT_QUEUE: QueueOptions = { max: 1000, targetMs: 100, intervalMs: 500, maxWaitMs: 1000 };

/** More than half of some forty requests have failed: it is out, although not in a row. */
const RATE_MAX = 0.5;
const RATE_SMOOTHING = 0.03;
/** Part of the requests that one that has just entered again may have. */
const SHARE_MIN = 0.1;
/** Kind of the accounts of origins that are left out. */
const EJECTED = "ejected";
const TIME_SMOOTHING = 0.1;

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
  /** Since when it is back; 0: for long enough. */
  #enteredMs = 0;
  #typicalMs = 0;
  /** While it is left out it stands in the accounts. */
  #out: Work = 0;
  /** How often it was left out. */
  ejected = 0;
  /** Requests that it has, also those that wait for its gate. */
  pending = 0;

  constructor(
    url: string,
    gate: Omit<GateOptions, "name" | "account"> & { readonly name?: string },
    connections: Connections,
    eject: EjectOptions | null,
  ) {
    this.url = url;
    const queue = { ...CLIENT_QUEUE, ...gate.queue };
    this.gate = new Gate({ name: url, ...gate, queue, account: null });
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

  /** Which part of the requests that would be its it may have now. */
  get share(): number {
    if (this.#enteredMs === 0 || this.#eject === null) return 1;
    const part = (nowMs() - this.#enteredMs) / this.#eject.reentryMs;
    if (part >= 1) this.#enteredMs = 0;
    return Math.min(1, Math.max(SHARE_MIN, part));
  }

  /** How long it takes to answer, as far as known; 0: not known. */
  get typicalMs(): number {
    return this.#typicalMs;
  }

  /** It has answered after so long. */
  answered(durationMs: number): void {
    const former = this.#typicalMs;
    this.#typicalMs = former === 0 ? durationMs : former + TIME_SMOOTHING * (durationMs - former);
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
      this.#enteredMs = nowMs();
      this.#endOut("ok");
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
    if (isProbe) return;
    this.ejected += 1;
    this.#out = account(EJECTED).begin(this.url, 0, 0);
  }

  #endOut(outcome: "ok" | "cancelled"): void {
    if (this.#out !== 0) account(EJECTED).end(this.#out, outcome);
    this.#out = 0;
  }

  /** It is no longer in the list: what it has, also what waits for it, goes on. */
  leave(): void {
    this.#isLeaving = true;
    if (this.pending === 0) this.#end();
  }

  #end(): void {
    this.#endOut("cancelled");
    this.gate.close();
    void this.connections.close(); // idle ones only: nothing is in flight
  }

  /** Refuses what waits; resolves when what is in flight has ended. */
  async close(): Promise<void> {
    this.#endOut("cancelled");
    this.gate.close();
    await this.connections.close();
  }

  /** Ends what is in flight. */
  async destroy(reason: Error | null): Promise<void> {
    this.#endOut("cancelled");
    this.gate.close();
    await this.connections.destroy(reason);
  }
}
