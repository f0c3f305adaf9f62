/**
 * The worker's part of flow: accounts of the application's work lie in the ledger, and requests
 * pass a gate as `--gate` says. The library is loaded when something needs it.
 *
 * ```
 *   observe:   account began --> more in flight than the limit --> counted, nothing else
 *   auto, N:   server.emit("request") --> gate --> the application, or 503
 *              fetch, http.request    --> gate of the origin --> the upstream
 * ```
 */
import { channel } from "node:diagnostics_channel";
import type { IncomingMessage, Server } from "node:http";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { entryUrl } from "../base/mod.ts";
import type * as FlowModule from "../flow/mod.ts";
import type { Gate, SlowPeers } from "../flow/mod.ts";
import type { HeldStreamHandle } from "./node-internals.ts";
import type { WorkerContext } from "./worker-context.ts";

type Flow = typeof FlowModule;

/** Fewer requests in flight than this are no reason to load anything. */
const OBSERVED_FROM = 16;
const OBSERVED_WAIT_MS = 20;
/** Of the application's requests, in `holdfast work`. */
const GATE_NAME = "http.in";
/** Slow clients are looked at once a second. */
const BEATS_PER_LOOK = 10;
const FLOW_CHANNEL = "holdfast:flow";

interface HeldSocket {
  readonly _handle?: Partial<HeldStreamHandle> | null;
}

/** See the file's docstring. */
export class FlowHost {
  readonly #context: WorkerContext;
  readonly #order: string;
  readonly #guarded = new WeakSet<Server>();
  #answer: ((question: unknown) => void) | null = null;
  #flow: Flow | null = null;
  #observer: Gate | null = null;
  #peers: SlowPeers | null = null;
  #beats = 0;
  /** A request has waited for so long that an observer is worth its memory. */
  #isLate = false;
  #guardsOutbound = false;

  /** `order`: `observe`, `auto`, `off`, or a number. */
  constructor(context: WorkerContext, order: string) {
    this.#context = context;
    this.#order = order;
    if (order === "observe") {
      context.lateMs = OBSERVED_WAIT_MS;
      context.onWaited = () => (this.#isLate = true);
    }
    channel(FLOW_CHANNEL).subscribe((question) => {
      this.#answer ??= this.#load().tableOffer(context.ledger.work(context.row, "writer"));
      this.#answer(question);
    });
  }

  #load(): Flow {
    if (this.#flow === null) {
      const file = fileURLToPath(entryUrl(import.meta.url, "../flow/mod.ts"));
      this.#flow = createRequire(import.meta.url)(file) as Flow; // our own module, beside this one
    }
    return this.#flow;
  }

  /** A server of the application's is about to listen. */
  guard(server: Server): void {
    if (this.#order === "off" || this.#order === "observe" || this.#guarded.has(server)) return;
    this.#guarded.add(server);
    const max = Number(this.#order);
    if (!this.#guardsOutbound) {
      this.#guardsOutbound = true;
      this.#load().forwardDeadlines();
      this.#load().guardOutbound();
    }
    this.#load().guardServer(server, {
      name: GATE_NAME,
      limit: this.#order === "auto" ? { kind: "loop" } : { kind: "fixed", max },
      slowPeers: false, // looked at below
      isAccounted: false, // connections and their requests are in the ledger already
      around: (request, turn) => this.#execute(request, turn),
    });
  }

  /** If the application never comes back, it was this request. */
  #execute(request: IncomingMessage, turn: () => void): void {
    const { _handle: handle } = request.socket as HeldSocket; // lib/net.js; ours, if accounted
    const slot = handle?.account?.slot;
    if (slot === undefined) {
      turn();
      return;
    }
    const former = this.#context.executing;
    this.#context.setExecuting(slot + 1);
    try {
      turn();
    } finally {
      this.#context.setExecuting(former);
    }
  }

  /** Called with each heartbeat. */
  beat(): void {
    if (this.#order === "off") return;
    this.#beats += 1;
    if (this.#flow !== null && this.#beats % BEATS_PER_LOOK === 0) this.#lookAtPeers(this.#flow);
    if (this.#order !== "observe") return;
    const { inFlight, requests } = this.#context.requestCounts;
    if (this.#observer === null) {
      if (inFlight < OBSERVED_FROM && !this.#isLate) return;
      this.#observer = this.#observe();
    }
    this.#observer.seen(inFlight, requests, false);
    this.#context.gateLimit = this.#observer.limit;
  }

  /** Clients that are too slow, of connections that have something to do. */
  #lookAtPeers(flow: Flow): void {
    this.#peers ??= new flow.SlowPeers({ mode: this.#order === "observe" ? "observe" : "enforce" });
    const busy: Socket[] = [];
    for (const account of this.#context.accounts.values()) {
      const { owner } = account.handle;
      if (!account.isIdle && owner !== undefined) busy.push(owner);
    }
    this.#peers.look(busy, this.#context.nowMs());
  }

  #observe(): Gate {
    const observer = this.#load().gate({
      name: GATE_NAME,
      mode: "observe",
      limit: { kind: "loop" },
      account: null,
    });
    this.#context.onPressed = (inFlight) => {
      observer.seen(inFlight, this.#context.requestCounts.requests, true);
    };
    this.#context.lateMs = -1;
    this.#context.onWaited = (ms) => observer.waited(ms);
    return observer;
  }
}
