/**
 * One request of a caller's through a pool: chooses an origin, waits for its gate, sends, watches
 * the time, and tries again where that is right. The caller's handler sees one request.
 *
 * ```
 *   start --> [origin, gate] --> sent --> head --> body --> end
 *               |   ^             |
 *               |   +--- again ---+   nothing of a response was seen, it may be repeated, the
 *               +--> refused              budget has a token
 *   hedge: the same once more after a time, elsewhere; the first head wins, the other is aborted
 * ```
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { Dispatcher } from "undici";
import { DEADLINE_HEADER, deadlineHeader } from "../../base/mod.ts";
import { clearAlarm, setAlarm } from "../alarm.ts";
import type { Alarm } from "../alarm.ts";
import { nowMs } from "../clock.ts";
import { Deadline } from "../deadline.ts";
import { FlowError } from "../errors.ts";
import type { Overloaded } from "../errors.ts";
import type { Permit } from "../visitor.ts";
import type { Sample } from "../limits.ts";
import { processFlow } from "../process-flow.ts";
import { account, outcomeOf } from "../work.ts";
import type { Account, Work } from "../work.ts";
import type { Budget } from "./budget.ts";
import type { Controller, Handler } from "./handlers.ts";
import type { Connections, Origin } from "./origin.ts";

export type DispatchOptions = Dispatcher.DispatchOptions;

/** Milliseconds; 0: no limit. */
export interface Timeouts {
  readonly headMs: number;
  readonly bodyMs: number;
  readonly totalMs: number;
}

/** What an exchange asks of its pool. */
export interface ExchangePool {
  readonly timeouts: Timeouts;
  /** Requests go where they say, and the time is watched by who sends. */
  readonly keepsTimeouts: boolean;
  readonly retries: number;
  readonly budget: Budget;
  readonly hedges: Budget | null;
  /** Who sends, whichever origin it is; null: the origin's own connections. */
  readonly sender: Connections | null;
  /** One that may be tried; never the given one if there is another. */
  choose(options: DispatchOptions, not: Origin | null): Origin;
  /** When a hedge is due; null: not known yet. */
  hedgeAfterMs(): number | null;
  answered(durationMs: number): void;
}

const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"]);
/** The upstream says that it has not done it. */
const TRY_ELSEWHERE = new Set([502, 503, 504]);
const OVERLOADED = new Set([429, 503]);

/** The upstream took longer than it may. */
export class UpstreamTimeout extends FlowError {
  constructor(what: string, origin: string, ms: number) {
    super(
      "ERR_HOLDFAST_UPSTREAM_TIMEOUT",
      `${origin} has not sent ${what} within ${ms} ms. Give it more time in the options of ` +
        `pool(), or look at it: it may have more to do than it can.`,
    );
  }
}

function header(headers: DispatchOptions["headers"], name: string): boolean {
  if (headers === null || headers === undefined) return false;
  if (Array.isArray(headers)) {
    return headers.some((each, index) => index % 2 === 0 && each.toLowerCase() === name);
  }
  const names =
    Symbol.iterator in headers ? [...headers].map(([each]) => each) : Object.keys(headers);
  return names.some((each) => each.toLowerCase() === name);
}

/** Whether it may be sent twice. */
function isRepeatable({ method, body, headers, upgrade }: DispatchOptions): boolean {
  if (upgrade) return false;
  const isReplayable =
    body === null || body === undefined || typeof body === "string" || ArrayBuffer.isView(body);
  return isReplayable && (REPEATABLE.has(method) || header(headers, "idempotency-key"));
}

/** The headers with the time that is left. */
function withDeadline(
  headers: DispatchOptions["headers"],
  remainingMs: number,
): DispatchOptions["headers"] {
  if (!Number.isFinite(remainingMs) || header(headers, DEADLINE_HEADER)) return headers;
  const value = deadlineHeader(remainingMs);
  if (Array.isArray(headers)) return [...headers, DEADLINE_HEADER, value];
  if (headers !== null && headers !== undefined && Symbol.iterator in headers) {
    return [
      ...[...headers].flatMap(([name, each]) => [name, String(each)]),
      DEADLINE_HEADER,
      value,
    ];
  }
  return { ...headers, [DEADLINE_HEADER]: value };
}

/**
 * One try at one origin. It keeps its place in the gate until undici has let go of it: what was
 * aborted while its connection is made still waits there.
 */
class Attempt implements Handler {
  readonly #exchange: Exchange;
  readonly origin: Origin;
  #permit: Permit | null = null;
  #deadline: Deadline | null = null;
  #controller: Controller | null = null;
  #abortReason: Error | null = null;
  #startMs = 0;
  #lastMs = 0;
  #alarm: Alarm | null = null;
  /** The exchange has been told of its end. */
  #isOver = false;
  #isReleased = false;
  #isProbe = false;
  #status = 0;
  /** Of a second try: it has an account of its own, as part of the exchange's. */
  readonly #again: { readonly account: Account; readonly work: Work } | null;
  hasHead = false;

  constructor(exchange: Exchange, origin: Origin, again: "http.retry" | "http.hedge" | null) {
    this.#exchange = exchange;
    this.origin = origin;
    this.#again = again === null ? null : exchange.secondTry(again, origin.url);
  }

  get controller(): Controller | null {
    return this.#controller;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  start(around: Deadline): void {
    const deadline = new Deadline(Number.POSITIVE_INFINITY, around);
    this.#deadline = deadline;
    this.#isProbe = this.origin.chosen();
    this.origin.gate.offer(
      {
        admit: (permit) => this.#admitted(permit, deadline),
        refuse: (_reason, _retryAfterMs, error) => this.#refused(error()),
        isGone: () => this.#isOver,
      },
      { deadline },
    );
  }

  #admitted(permit: Permit, deadline: Deadline): void {
    this.#permit = permit;
    if (this.#isOver) {
      this.#release("ignore", null);
      return;
    }
    this.#startMs = this.#lastMs = nowMs();
    this.#exchange.state("connecting");
    const { options } = this.#exchange;
    const headers = withDeadline(options.headers, deadline.remainingMs()) ?? null;
    this.#watch();
    const { table } = processFlow();
    table.isObserved = true; // undici makes its request at once
    try {
      (this.#exchange.pool.sender ?? this.origin.connections).dispatch(
        this.#exchange.pool.keepsTimeouts
          ? { ...options, headers }
          : { ...options, origin: this.origin.url, headers, headersTimeout: 0, bodyTimeout: 0 },
        this,
      );
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    } finally {
      table.isObserved = false;
    }
  }

  #refused(error: Overloaded): void {
    this.#release("ignore", null);
    if (this.#isOver) return;
    this.#isOver = true;
    this.#exchange.failed(this, error, false);
  }

  /** Nobody wants it any more. */
  abort(reason: Error): void {
    if (this.#isOver) return;
    this.#abortReason = reason;
    if (this.#controller !== null) {
      this.#controller.abort(reason);
      return;
    }
    this.#isOver = true;
    if (this.#alarm !== null) clearAlarm(this.#alarm);
    if (this.#permit === null) this.#deadline?.cancel(reason); // out of the gate's queue
    // else it is released when undici has made, or not made, its connection
    this.#exchange.failed(this, reason, reason instanceof UpstreamTimeout);
  }

  #watch(): void {
    const { headMs, bodyMs } = this.#exchange.pool.timeouts;
    const limitMs = this.hasHead ? bodyMs : headMs;
    if (limitMs === 0) return;
    const dueMs = this.#lastMs + limitMs;
    this.#alarm = setAlarm(dueMs, () => {
      if (this.#isOver) return;
      const isLate = nowMs() >= this.#lastMs + (this.hasHead ? bodyMs : headMs);
      if (isLate) {
        const what = this.hasHead ? "more of its body" : "its head";
        this.abort(new UpstreamTimeout(what, this.origin.url, this.hasHead ? bodyMs : headMs));
      } else this.#watch();
    });
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    if (this.#abortReason !== null) controller.abort(this.#abortReason);
    else this.#exchange.state("sent");
  }

  onRequestUpgrade(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.#end("ok", true);
    this.#exchange.upgraded(this, controller, status, headers, socket);
  }

  onResponseStart(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    statusMessage?: string,
  ): void {
    if (status < 200) {
      this.#exchange.informed(this, controller, status, headers, statusMessage);
      return;
    }
    this.hasHead = true;
    this.#lastMs = nowMs();
    if (this.#exchange.triesElsewhere(this, status)) {
      const sample = OVERLOADED.has(status) ? "drop" : "ignore";
      this.#end(sample, false);
      controller.abort(new Error(`answered with ${status}, tried elsewhere`));
      return;
    }
    if (this.#alarm !== null) clearAlarm(this.#alarm);
    this.#watch();
    this.origin.answered(this.#lastMs - this.#startMs);
    this.#exchange.pool.answered(this.#lastMs - this.#startMs);
    this.#status = status;
    this.#exchange.headed(this, controller, status, headers, statusMessage);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#isOver) return;
    this.#lastMs = nowMs();
    this.#exchange.received(this, controller, chunk);
  }

  onResponseEnd(controller: Controller, trailers: IncomingHttpHeaders): void {
    if (this.#isOver) return;
    this.#end(OVERLOADED.has(this.#status) ? "drop" : "ok", this.#status < 500);
    this.#exchange.ended(this, controller, trailers);
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#fail(this.#abortReason ?? error);
  }

  #fail(error: Error): void {
    const isOurs = this.#abortReason !== null && !(error instanceof UpstreamTimeout);
    const isItsFault = !isOurs || this.#isLate(error);
    const wasOver = this.#isOver;
    this.#end(isItsFault ? "drop" : "ignore", isItsFault ? false : null);
    if (!wasOver) this.#exchange.failed(this, error, !isOurs);
  }

  /** Its time was over before there was a head, and it had more than others took. */
  #isLate(error: Error): boolean {
    if (this.hasHead || outcomeOf(error) !== "expired") return false;
    return nowMs() - this.#startMs >= this.origin.typicalMs;
  }

  #end(sample: Sample, isWell: boolean | null): void {
    this.#isOver = true;
    if (this.#alarm !== null) clearAlarm(this.#alarm);
    this.#release(sample, isWell);
  }

  #release(sample: Sample, isWell: boolean | null): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#permit?.release(sample);
    this.origin.ended(isWell, this.#isProbe);
    if (this.#again === null) return;
    const outcome = sample === "ok" ? "ok" : sample === "drop" ? "error" : "cancelled";
    this.#again.account.end(this.#again.work, outcome);
  }
}

/** See the file's docstring. */
export class Exchange {
  readonly pool: ExchangePool;
  readonly options: DispatchOptions;
  readonly #handler: Handler;
  readonly #isRepeatable: boolean;
  readonly #deadline: Deadline;
  readonly #account: Account = account("http.out");
  readonly #work: Work;
  readonly #attempts: Attempt[] = [];
  readonly #own: Controller;
  #leaveDeadline: () => void = () => undefined;
  #hedge: Alarm | null = null;
  #winner: Attempt | null = null;
  #retries = 0;
  #isOver = false;
  #isPaused = false;
  #reason: Error | null = null;

  constructor(
    pool: ExchangePool,
    options: DispatchOptions,
    handler: Handler,
    around: Deadline | null,
  ) {
    this.pool = pool;
    this.options = options;
    this.#handler = handler;
    this.#isRepeatable = isRepeatable(options);
    const { totalMs } = pool.timeouts;
    const atMs = totalMs === 0 ? Number.POSITIVE_INFINITY : nowMs() + totalMs;
    this.#deadline = new Deadline(atMs, around);
    const until = Number.isFinite(this.#deadline.atMs) ? this.#deadline.atMs : 0;
    this.#work = this.#account.begin(`${options.method} ${String(options.origin)}`, until);
    this.#account.state(this.#work, "queued");
    this.#own = this.#controller();
  }

  /** Begins. The handler hears of the end later, or at once where nothing could be begun. */
  start(): void {
    this.pool.budget.earn();
    this.pool.hedges?.earn();
    this.#leaveDeadline = this.#deadline.onAbort((reason) => this.#own.abort(reason));
    if (this.#isOver) return;
    this.#handler.onRequestStart(this.#own, null);
    if (this.#isOver) return;
    this.#try(null, null);
    this.#hedgeLater();
  }

  /** An account for a try beyond the first. */
  secondTry(kind: "http.retry" | "http.hedge", url: string) {
    const again = account(kind);
    return { account: again, work: again.begin(`${this.options.method} ${url}`, 0, this.#work) };
  }

  #try(not: Origin | null, again: "http.retry" | "http.hedge" | null): void {
    let origin: Origin;
    try {
      origin = this.pool.choose(this.options, not);
    } catch (error) {
      this.#abort(error as Error); // of ours: there is no origin, or none that it could be
      return;
    }
    const attempt = new Attempt(this, origin, again);
    const isNamed = again === null && !this.pool.keepsTimeouts; // else it is where it says
    if (isNamed) this.#account.rename(this.#work, `${this.options.method} ${origin.url}`);
    this.#attempts.push(attempt);
    attempt.start(this.#deadline);
  }

  #hedgeLater(): void {
    const { hedges } = this.pool;
    const afterMs = hedges === null || !this.#isRepeatable ? null : this.pool.hedgeAfterMs();
    if (hedges === null || afterMs === null || this.#isOver) return;
    this.#hedge = setAlarm(nowMs() + afterMs, () => {
      const [first] = this.#attempts;
      const isDue = !this.#isOver && this.#winner === null && this.#attempts.length === 1;
      if (isDue && hedges.spend(nowMs())) this.#try(first?.origin ?? null, "http.hedge");
    });
  }

  /** What the caller holds, whichever attempt is behind it. */
  #controller(): Controller {
    const isPaused = (): boolean => this.#isPaused;
    const reason = (): Error | null => this.#reason;
    return {
      get aborted() {
        return reason() !== null;
      },
      get paused() {
        return isPaused();
      },
      get reason() {
        return reason();
      },
      abort: (why) => this.#abort(why),
      pause: () => {
        this.#isPaused = true;
        this.#winner?.controller?.pause();
      },
      resume: () => {
        this.#isPaused = false;
        this.#winner?.controller?.resume();
      },
    };
  }

  #abort(reason: Error): void {
    if (this.#isOver) return;
    this.#reason = reason;
    this.#finish(outcomeOf(reason) === "expired" ? "expired" : "cancelled");
    for (const attempt of this.#attempts) attempt.abort(reason);
    this.#handler.onResponseError(this.#own, reason);
  }

  #finish(outcome: Parameters<Account["end"]>[1]): void {
    this.#isOver = true;
    this.#account.end(this.#work, outcome);
    this.#leaveDeadline();
    if (this.#hedge !== null) clearAlarm(this.#hedge);
  }

  state(state: Parameters<Account["state"]>[1]): void {
    if (!this.#isOver && this.#winner === null) this.#account.state(this.#work, state);
  }

  /** Whether this answer is left for a try at another origin. */
  triesElsewhere(attempt: Attempt, status: number): boolean {
    if (!TRY_ELSEWHERE.has(status) || this.#winner !== null || !this.#mayRetry()) return false;
    if (this.pool.choose(this.options, attempt.origin) === attempt.origin) return false;
    if (!this.pool.budget.spend(nowMs())) return false;
    this.#retries += 1;
    queueMicrotask(() => {
      if (!this.#isOver) this.#try(attempt.origin, "http.retry");
    });
    return true;
  }

  #mayRetry(): boolean {
    return !this.#isOver && this.#isRepeatable && this.#retries < this.pool.retries;
  }

  informed(
    attempt: Attempt,
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.#isOver || (this.#winner !== null && this.#winner !== attempt)) return;
    this.#own.rawHeaders = controller.rawHeaders;
    this.#handler.onResponseStart(this.#own, status, headers, message);
  }

  /** The first head wins. */
  headed(
    attempt: Attempt,
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.#isOver || this.#winner !== null) {
      attempt.abort(new Error("another attempt was answered first"));
      return;
    }
    this.#winner = attempt;
    for (const each of this.#attempts) {
      if (each !== attempt) each.abort(new Error("another attempt was answered first"));
    }
    this.#account.state(this.#work, "body");
    this.#account.progress(this.#work);
    this.#own.rawHeaders = controller.rawHeaders;
    this.#handler.onResponseStarted?.();
    this.#handler.onResponseStart(this.#own, status, headers, message);
    if (this.#isPaused) controller.pause();
  }

  received(attempt: Attempt, controller: Controller, chunk: Buffer): void {
    if (this.#isOver || attempt !== this.#winner) return;
    this.#account.progress(this.#work, chunk.length);
    this.#handler.onResponseData(this.#own, chunk);
    if (this.#isPaused) controller.pause();
  }

  ended(attempt: Attempt, controller: Controller, trailers: IncomingHttpHeaders): void {
    if (this.#isOver || attempt !== this.#winner) return;
    this.#finish("ok");
    this.#own.rawTrailers = controller.rawTrailers;
    this.#handler.onResponseEnd(this.#own, trailers);
  }

  upgraded(
    attempt: Attempt,
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    if (this.#isOver) return;
    this.#winner = attempt;
    this.#finish("ok");
    this.#own.rawHeaders = controller.rawHeaders;
    this.#handler.onRequestUpgrade?.(this.#own, status, headers, socket);
  }

  /** An attempt has come to nothing. `isUpstreams`: it is the origin that failed. */
  failed(attempt: Attempt, error: Error, isUpstreams: boolean): void {
    if (this.#isOver || (this.#winner !== null && this.#winner !== attempt)) return;
    if (this.#winner === null && this.#attempts.some((each) => each !== attempt && !each.isOver)) {
      return; // the other one may still be answered
    }
    const mayRetry = isUpstreams && !attempt.hasHead && this.#mayRetry();
    if (mayRetry && this.pool.budget.spend(nowMs())) {
      this.#retries += 1;
      this.state("queued");
      queueMicrotask(() => {
        if (!this.#isOver) this.#try(attempt.origin, "http.retry");
      });
      return;
    }
    this.#reason = error;
    this.#finish(error instanceof UpstreamTimeout ? "expired" : outcomeOf(error));
    this.#handler.onResponseError(this.#own, error);
  }
}
