/**
 * A client whose queue is its own: undici is handed only what can go on the wire now.
 *
 * ```
 *   fetch(url, { dispatcher: pool }) --> exchange --> origin's gate --> undici's connections
 * ```
 * Several origins are instances of one service: the least loaded of two is chosen, one that fails
 * is left out for a while. Without a list each request goes to the origin that it names.
 */
import { createRequire } from "node:module";
import type * as Undici from "undici";
import { currentContext } from "../context.ts";
import { checkNames, checkNumber, checkThere, refuseOption } from "../errors.ts";
import type { OptionNames } from "../errors.ts";
import type { GateStats, QueueOptions } from "../gate.ts";
import type { LimitOptions } from "../limits.ts";
import { Budget } from "./budget.ts";
import type { BudgetOptions } from "./budget.ts";
import { Exchange } from "./exchange.ts";
import type { DispatchOptions, ExchangePool, Timeouts } from "./exchange.ts";
import { modern } from "./handlers.ts";
import type { Handler, LegacyHandler } from "./handlers.ts";
import { Origin } from "./origin.ts";
import type { EjectOptions } from "./origin.ts";

/** Tells which instances there are, now and whenever that changes. */
export interface OriginSource {
  subscribe(listener: (origins: readonly string[]) => void): () => void;
}

export interface PoolOptions {
  /** Of each origin; default: by the gradient of its latency, at most 100. */
  readonly limit?: LimitOptions;
  readonly queue?: QueueOptions;
  /** To make a connection; default 2,000. */
  readonly connectMs?: number;
  /** Until the head of the response; default 10,000; 0: no limit. */
  readonly headMs?: number;
  /** Between two parts of its body; default 30,000; 0: no limit. */
  readonly bodyMs?: number;
  /** All in all, the wait in the queue included; default 60,000; 0: no limit. */
  readonly totalMs?: number;
  /** How often one request is tried again, where it may be, and how many of all; default 1. */
  readonly retry?: ({ readonly max?: number } & BudgetOptions) | false;
  /** Ask twice when an answer takes longer than most; default: no. */
  readonly hedge?: ({ readonly afterMs?: number } & BudgetOptions) | boolean;
  readonly eject?: Partial<EjectOptions> | false;
  /** A connection is not used for longer than this; default: for ever. */
  readonly connectionAgeMs?: number;
}

export interface PoolStats {
  readonly origins: readonly {
    readonly origin: string;
    readonly isEjected: boolean;
    /** How often it was left out. */
    readonly ejected: number;
    readonly pending: number;
    readonly gate: GateStats;
  }[];
}

/** One that undici, and whatever takes a dispatcher of it, can use. */
export interface Pool extends Undici.Dispatcher {
  /** `fetch` through this pool. */
  readonly fetch: (url: string | URL | Request, init?: RequestInit) => Promise<Response>;
  stats(): PoolStats;
}

const POOL_NAMES: OptionNames<PoolOptions> = {
  limit: true,
  queue: true,
  connectMs: true,
  headMs: true,
  bodyMs: true,
  totalMs: true,
  retry: true,
  hedge: true,
  eject: true,
  connectionAgeMs: true,
};
const BUDGET_NAMES: OptionNames<BudgetOptions> = { ratio: true, perSecond: true };
const EJECT_NAMES: OptionNames<EjectOptions> = {
  failures: true,
  baseMs: true,
  maxMs: true,
  reentryMs: true,
};
/** Of one origin, where nothing else is said. */
const CONNECTIONS_MAX = 100;
/** Latencies that are looked at for the time of a hedge. */
const LATENCIES_KEPT = 256;
const LATENCIES_LEAST = 20;
const HEDGE_QUANTILE = 0.95;

let undici: typeof Undici | null = null;

/** Loaded when the first pool is made. */
function loadUndici(): typeof Undici {
  undici ??= createRequire(import.meta.url)("undici") as typeof Undici; // a dependency of ours
  return undici;
}

function originOf(value: string | URL, name: string): string {
  const url = URL.parse(String(value));
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) return url.origin;
  return refuseOption(name, String(value), `an http or https URL, e.g. "http://10.0.0.1:8080"`);
}

/** One of the list: a path of its own would be left out of every request. */
function instanceOf(value: string): string {
  const origin = originOf(value, "origins");
  const { pathname, search } = new URL(value);
  if (pathname === "/" && search === "") return origin;
  return refuseOption("origins", value, `an origin alone, as ${origin}: requests have the path`);
}

/** What a pool does, but for the methods that undici gives each dispatcher. */
class Client implements ExchangePool {
  readonly timeouts: Timeouts;
  readonly keepsTimeouts = false;
  readonly sender = null;
  readonly retries: number;
  readonly budget: Budget;
  readonly hedges: Budget | null;
  readonly #options: PoolOptions;
  readonly #limit: LimitOptions;
  readonly #eject: EjectOptions | null;
  readonly #origins = new Map<string, Origin>();
  /** Null: each request goes to the origin that it names. */
  #listed: readonly Origin[] | null = null;
  readonly #unsubscribe: (() => void) | null;
  readonly #latencies = new Float64Array(LATENCIES_KEPT);
  #latencyCount = 0;
  /** The quantile of them, and of how many it was. */
  #hedgeMs = 0;
  #hedgeCount = 0;
  #isClosed = false;

  /** @throws FlowError ERR_HOLDFAST_FLOW_OPTION */
  constructor(origins: string | readonly string[] | OriginSource | null, options: PoolOptions) {
    checkNames(options, POOL_NAMES);
    this.#options = options;
    this.timeouts = {
      headMs: checkNumber("headMs", options.headMs, 10_000, { min: 0 }),
      bodyMs: checkNumber("bodyMs", options.bodyMs, 30_000, { min: 0 }),
      totalMs: checkNumber("totalMs", options.totalMs, 60_000, { min: 0 }),
    };
    checkNumber("connectMs", options.connectMs, 2000, { min: 1 });
    // as many as undici is given connections: what it cannot send would wait in its queue
    this.#limit = { max: CONNECTIONS_MAX, ...(options.limit ?? { kind: "gradient" }) };
    checkNumber("connectionAgeMs", options.connectionAgeMs, 1, { min: 1 });
    const { retry = {}, hedge = false, eject = {} } = options;
    checkNames(retry || {}, { max: true, ...BUDGET_NAMES }, "retry.");
    const hedging = typeof hedge === "object" ? hedge : {};
    checkNames(hedging, { afterMs: true, ...BUDGET_NAMES }, "hedge.");
    checkNames(eject || {}, EJECT_NAMES, "eject.");
    this.retries = retry === false ? 0 : checkNumber("retry.max", retry.max, 1, { min: 0 });
    this.budget = new Budget("retry", retry === false ? {} : retry);
    this.hedges =
      hedge === false
        ? null
        : new Budget("hedge", { ratio: 0.05, perSecond: 1, ...(hedge === true ? {} : hedge) });
    if (typeof hedge === "object") checkNumber("hedge.afterMs", hedge.afterMs, 1, { min: 0 });
    this.#eject =
      eject === false
        ? null
        : {
            failures: checkNumber("eject.failures", eject.failures, 5, { min: 1 }),
            baseMs: checkNumber("eject.baseMs", eject.baseMs, 1000, { min: 1 }),
            maxMs: checkNumber("eject.maxMs", eject.maxMs, 30_000, { min: 1 }),
            reentryMs: checkNumber("eject.reentryMs", eject.reentryMs, 10_000, { min: 1 }),
          };
    this.#unsubscribe = this.#list(origins);
  }

  #list(origins: string | readonly string[] | OriginSource | null): (() => void) | null {
    if (origins === null) return null;
    if (typeof origins !== "string") checkThere("origins", origins, "a list, or null for any");
    if (typeof origins === "object" && "subscribe" in origins) {
      this.#listed = [];
      return origins.subscribe((each) => this.#setOrigins(each));
    }
    const list = typeof origins === "string" ? [origins] : origins;
    if (list.length === 0) refuseOption("origins", "[]", "at least one origin, or null for any");
    this.#setOrigins(list);
    return null;
  }

  #setOrigins(urls: readonly string[]): void {
    const wanted = new Set(urls.map((each) => instanceOf(each)));
    for (const [url, origin] of this.#origins) {
      if (wanted.has(url)) continue;
      this.#origins.delete(url);
      origin.leave();
    }
    this.#listed = [...wanted].map((url) => this.#originAt(url));
  }

  #originAt(url: string): Origin {
    const known = this.#origins.get(url);
    if (known !== undefined) return known;
    const { connectMs = 2000, connectionAgeMs, queue = {} } = this.#options;
    const limit = this.#limit;
    const connections = new (loadUndici().Pool)(url, {
      connections: limit.max ?? CONNECTIONS_MAX,
      pipelining: 1,
      connect: { timeout: connectMs },
      clientTtl: connectionAgeMs ?? null,
    });
    const gate = { name: `pool ${url}`, limit, queue };
    const origin = new Origin(url, gate, connections, this.#eject);
    this.#origins.set(url, origin);
    return origin;
  }

  /** undici's interface: what `fetch` and `setGlobalDispatcher` call. */
  dispatch(options: DispatchOptions, handler: Handler | LegacyHandler): boolean {
    const to = modern(handler);
    if (this.#isClosed) refuseOption("pool", "closed", "open while it is used");
    const exchange = new Exchange(this, options, to, currentContext()?.deadline ?? null);
    exchange.start();
    return true;
  }

  choose(options: DispatchOptions, not: Origin | null): Origin {
    const list = this.#listed;
    if (list === null) return this.#originAt(originOf(options.origin ?? "", "origin"));
    let best: Origin | null = null;
    let bestRank = 0;
    // of several with as little to do any may be the first
    const first = Math.floor(Math.random() * list.length);
    for (let index = 0; index < list.length; index += 1) {
      const origin = list[(first + index) % list.length];
      if (origin === undefined || (origin === not && list.length > 1)) continue;
      const rank = rankOf(origin);
      const isBetter =
        rank < bestRank || (rank === bestRank && origin.pending < (best?.pending ?? 0));
      if (best !== null && !isBetter) continue;
      best = origin;
      bestRank = rank;
    }
    if (best !== null) return best;
    return refuseOption("origins", "[]", "at least one origin: the list is empty at the moment");
  }

  answered(durationMs: number): void {
    this.#latencies[this.#latencyCount % LATENCIES_KEPT] = durationMs;
    this.#latencyCount += 1;
  }

  hedgeAfterMs(): number | null {
    const { hedge } = this.#options;
    if (typeof hedge === "object" && hedge.afterMs !== undefined) return hedge.afterMs;
    if (this.#latencyCount < LATENCIES_LEAST) return null;
    if (this.#latencyCount - this.#hedgeCount >= LATENCIES_LEAST) {
      this.#hedgeCount = this.#latencyCount;
      const count = Math.min(LATENCIES_KEPT, this.#latencyCount);
      const known = this.#latencies.slice(0, count).toSorted();
      this.#hedgeMs = known[Math.floor(HEDGE_QUANTILE * known.length)] ?? 0;
    }
    return this.#hedgeMs;
  }

  stats(): PoolStats {
    return {
      origins: [...this.#origins.values()].map((origin) => ({
        origin: origin.url,
        isEjected: origin.isEjected,
        ejected: origin.ejected,
        pending: origin.pending,
        gate: origin.gate.stats(),
      })),
    };
  }

  /** Nothing new goes through; resolves when what is in flight has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unsubscribe?.();
    await Promise.all([...this.#origins.values()].map((origin) => origin.close()));
    this.#origins.clear();
  }

  /** Ends everything now. */
  async destroy(reason: Error | null): Promise<void> {
    this.#isClosed = true;
    this.#unsubscribe?.();
    await Promise.all([...this.#origins.values()].map((origin) => origin.destroy(reason)));
    this.#origins.clear();
  }
}

/** 0: it may be chosen; 1: it has enough for one that has just entered again; 2: it is out. */
function rankOf(origin: Origin): number {
  if (!origin.isUsable) return 2;
  const { share } = origin;
  return share < 1 && Math.random() >= share ? 1 : 0;
}

/** The end of a call that also takes a callback, as undici's do. */
async function called(promise: Promise<void>, callback: (() => void) | null): Promise<void> {
  await promise;
  callback?.();
}

/**
 * The client as a dispatcher of undici's. Without private members: `compose()` calls the methods
 * with a proxy as `this`.
 */
function dispatcherOf(client: Client): Pool {
  const { Dispatcher } = loadUndici();
  class Pool extends Dispatcher {
    /** See `Pool`. */
    readonly fetch = (url: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
      const options = { ...init, dispatcher: this };
      // Node's fetch takes any dispatcher; the types have room for one of its own undici only
      return globalThis.fetch(url, options as unknown as RequestInit);
    };

    override dispatch(options: DispatchOptions, handler: Undici.Dispatcher.DispatchHandler) {
      return client.dispatch(options, handler);
    }

    override close(): Promise<void>;
    override close(callback: () => void): void;
    override close(callback: (() => void) | null = null): Promise<void> | void {
      return called(client.close(), callback);
    }

    override destroy(): Promise<void>;
    override destroy(reason: Error | null): Promise<void>;
    override destroy(callback: () => void): void;
    override destroy(reason: Error | null, callback: () => void): void;
    override destroy(
      reason: Error | (() => void) | null = null,
      callback: (() => void) | null = null,
    ): Promise<void> | void {
      if (typeof reason === "function") return called(client.destroy(null), reason);
      return called(client.destroy(reason), callback);
    }

    stats(): PoolStats {
      return client.stats();
    }
  }
  return new Pool();
}

/**
 * A client of one service: of one origin, of several that are the same, of those that a source
 * tells, or (null) of whatever origin a request names.
 *
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 * @example
 * const orders = pool(["http://10.0.0.1:8080", "http://10.0.0.2:8080"], { totalMs: 500 });
 * const response = await orders.fetch("http://orders/today");
 */
export function pool(
  origins: string | readonly string[] | OriginSource | null,
  options: PoolOptions = {},
): Pool {
  return dispatcherOf(new Client(origins, options));
}
