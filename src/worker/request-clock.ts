/**
 * When the requests of one connection began, for as long as they are not answered.
 *
 * ```
 *   bytes read --arrived--> head parsed --began--> response out --ended--> counted
 *                                            |
 *                                            +--client leaves--left--> counted as such
 * ```
 * One request is the rule; the times of pipelined ones behind it wait in a list.
 */
import type { Latency } from "./latency.ts";
import type { Answer } from "./node-internals.ts";

/** See the file's docstring. */
export class RequestClock {
  readonly #latency: Latency;
  /** First byte of a request that has not begun yet; 0: there is none. */
  #arrivedMs = 0;
  /** Of the oldest request that is not answered. */
  #startedMs = 0;
  #waitedMs = 0;
  #lastReadMs = 0;
  #laterMs: number[] | null = null;
  /** When the kernel took the last byte of a response that it had not taken at once; 0: not yet. */
  #flushedMs = 0;
  /** When the last response was out. */
  #endedMs = 0;

  constructor(latency: Latency) {
    this.#latency = latency;
  }

  /** Whether anything was read before. */
  get hasRead(): boolean {
    return this.#lastReadMs > 0;
  }

  /** For how long no response has left. */
  idleMs(nowMs: number): number {
    return nowMs - this.#endedMs;
  }

  /** The connection has come here between two requests. */
  rested(nowMs: number): void {
    this.#endedMs = nowMs;
  }

  /** The first bytes of a request: at `nowMs`, when they had been in the kernel for `waitedMs`. */
  arrived(nowMs: number, waitedMs: number): void {
    this.#lastReadMs = nowMs;
    this.#arrivedMs = nowMs - waitedMs;
    this.#waitedMs = waitedMs;
  }

  /** More bytes of it, or of the next. */
  read(nowMs: number): void {
    this.#lastReadMs = nowMs;
  }

  /** The head of a request was parsed; `isOldest`: no other one waits for its answer. */
  began(isOldest: boolean): void {
    if (!isOldest) {
      this.#laterMs ??= [];
      this.#laterMs.push(this.#lastReadMs);
    } else if (this.#arrivedMs > 0) this.#startedMs = this.#arrivedMs;
    else {
      this.#startedMs = this.#lastReadMs;
      this.#waitedMs = 0;
    }
    this.#arrivedMs = 0;
  }

  /** A write that the kernel had not taken at once is done, and nothing is left to be written. */
  flushed(nowMs: number): void {
    this.#flushedMs = nowMs;
  }

  /** The response to the oldest request is out. */
  ended(response: Answer | null, nowMs: number): void {
    const endMs = this.#flushedMs > 0 ? this.#flushedMs : nowMs;
    this.#flushedMs = 0;
    this.#endedMs = endMs;
    if (response !== null) {
      const { req, statusCode } = response;
      this.#latency.ended(req, statusCode, this.#startedMs, endMs, this.#waitedMs);
    }
    this.#next();
  }

  /** The client has left the oldest request, or the application has closed the connection. */
  left(response: Answer | null | undefined, nowMs: number): void {
    this.#latency.ended(response?.req, 0, this.#startedMs, nowMs, this.#waitedMs);
    this.#next();
  }

  #next(): void {
    this.#waitedMs = 0;
    if (this.#laterMs === null) return;
    this.#startedMs = this.#laterMs.shift() ?? 0;
    if (this.#laterMs.length === 0) this.#laterMs = null;
  }
}
