/**
 * The worker's part of flow: accounts of the application's work lie in the ledger, and requests
 * pass a gate as `--gate` says. The library is loaded when something needs it.
 *
 * ```
 *   observe:   account began --> more in flight than the limit --> counted, nothing else
 *   auto, N:   server.emit("request") --> gate --> the application, or 503
 *              fetch, http.request    --> gate of the origin --> the upstream
 * ```
 * With deadlines requests pass a gate that only observes.
 */
import { channel } from "node:diagnostics_channel";
import { createRequire } from "node:module";
import type { Server, Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { deadlineOf, entryUrl, hasDeadlines, isBounded, pipeLimits } from "../base/mod.ts";
import type { FlowOrders } from "../base/mod.ts";
import type * as FlowModule from "../flow/mod.ts";
import type { Gate, InboundRequest, ServerGuard, SlowPeers } from "../flow/mod.ts";
import { requestWork } from "../ledger/mod.ts";
import type { WorkTable, WorkView } from "../ledger/mod.ts";
import type { ParkRequest } from "./account-host.ts";
import { InboundCalls } from "./inbound-calls.ts";
import type { HeldStreamHandle } from "./node-internals.ts";
import { soon } from "./own-timers.ts";
import { OutboundCalls } from "./outbound-calls.ts";
import type { WorkerContext } from "./worker-context.ts";

type Flow = typeof FlowModule;

/** Fewer requests in flight than this are no reason to load anything. */
const OBSERVED_FROM = 16;
const OBSERVED_WAIT_MS = 20;
/** Of the application's requests, in `holdfast work`. */
const GATE_NAME = "http.in";
/** Origins whose calls are judged; each has a gate. */
const ORIGINS_MAX = 32;
/** Slow clients are looked at once a second. */
const BEATS_PER_LOOK = 10;
const FLOW_CHANNEL = "holdfast:flow";

/** The requests in flight of accounted connections. */
function requests({ accounts, connections }: WorkerContext): readonly WorkView[] {
  const busy = [...accounts].filter(({ isIdle, isOpaque }) => !isIdle && !isOpaque);
  return busy.map(({ slot, handle }) => {
    const { method = "", url = "" } = handle.owner?._httpMessage?.req ?? {};
    const startMs = connections.requestAtMs(slot);
    return {
      work: requestWork(slot, connections.quiescentRead(slot)),
      kind: GATE_NAME,
      name: `${method} ${url}`,
      parent: 0,
      state: "running",
      startMs,
      deadlineMs: 0,
      progressMs: startMs,
      bytes: 0,
      buffered: handle.owner?.writableLength ?? 0,
    };
  });
}

interface HeldSocket {
  readonly _handle?: Partial<HeldStreamHandle> | null;
}

/** See the file's docstring. */
export class FlowHost {
  readonly #context: WorkerContext;
  readonly #orders: FlowOrders;
  readonly #hasDeadlines: boolean;
  readonly #guarded = new WeakMap<Server, ServerGuard>();
  #table: WorkTable | null = null;
  #answer: ((question: unknown) => void) | null = null;
  #flow: Flow | null = null;
  #observer: Gate | null = null;
  readonly #origins = new Map<string, Gate>();
  #peers: SlowPeers | null = null;
  #beats = 0;
  /** A request has waited for so long that an observer is worth its memory. */
  #isLate = false;
  #watchesOutbound = false;
  readonly #inbound: InboundCalls;

  constructor(context: WorkerContext, orders: FlowOrders) {
    this.#context = context;
    this.#orders = orders;
    this.#hasDeadlines = hasDeadlines(orders);
    this.#inbound = new InboundCalls(
      () => this.#workTable(),
      () => context.nowMs(),
      (slot) => this.#workOf(slot),
    );
    if (orders.gate === "observe") {
      context.lateMs = OBSERVED_WAIT_MS;
      context.onWaited = () => (this.#isLate = true);
    }
    channel(FLOW_CHANNEL).subscribe((question) => {
      this.#answer ??= this.#load().tableOffer(this.#workTable(), {
        requests: () => requests(this.#context),
        onAsked: () => this.#follow(),
      });
      this.#answer(question);
    });
    this.#watchPipes();
    if (orders.gate === "off") return;
    this.#inbound.watchStreams((server) => this.#guarded.has(server as Server));
    if (orders.gate === "observe" && !this.#hasDeadlines) this.#watchOutbound();
  }

  #load(): Flow {
    if (this.#flow === null) {
      const file = fileURLToPath(entryUrl(import.meta.url, "../flow/mod.ts"));
      this.#flow = createRequire(import.meta.url)(file) as Flow; // our own module, beside this one
    }
    return this.#flow;
  }

  #workOf(slot: number): number {
    return requestWork(slot, this.#context.connections.quiescentRead(slot));
  }

  /** There must be only one that writes. */
  #workTable(): WorkTable {
    this.#table ??= this.#context.ledger.work(this.#context.row, "writer");
    return this.#table;
  }

  #watchPipes(): void {
    const limits = pipeLimits(this.#orders);
    if (limits === null) return;
    this.#load().watchdog({
      ...limits,
      onStall: ({ pipe, why, culprit, forMs, bufferedBytes, site }) => {
        const stall = { pipe, why, culprit, forMs, bufferedBytes, site };
        this.#context.send({ type: "pipe-stalled", stall });
      },
    });
  }

  /** Nothing is bounded: what the application asks of others is written down and judged. */
  #watchOutbound(): void {
    const calls = new OutboundCalls(this.#workTable(), {
      nowMs: () => this.#context.nowMs(),
      onCall: (origin, inFlight) => this.#judge(origin, inFlight),
      parentOf: (request) => this.#parentOf(request),
    });
    calls.watchHttp();
    calls.watchUndici();
  }

  /** For which request it is; the first call makes known that somebody asks. */
  #parentOf(request: object): number {
    if (this.#flow === null) {
      soon(() => this.#load().currentContext());
      return 0;
    }
    const { work = 0 } = this.#flow.currentContext() ?? {};
    return work === 0 || this.#flow.isOfAnother(request) ? 0 : work;
  }

  /** Behind a gate requests are contexts by themselves. */
  #follow(): void {
    if (this.#orders.gate !== "observe" || this.#hasDeadlines) return;
    const { enterWork } = this.#load();
    this.#inbound.follow(enterWork);
  }

  /** What a gate in front of the origin would do; few calls at a time are no reason for one. */
  #judge(origin: string, inFlight: number): ((isWell: boolean) => void) | null {
    let gate = this.#origins.get(origin);
    if (gate === undefined) {
      if (inFlight < OBSERVED_FROM || this.#origins.size >= ORIGINS_MAX) return null;
      const { OUTBOUND_LIMIT: limit, gate: makeGate } = this.#load();
      gate = makeGate({ name: origin, mode: "observe", limit, account: null });
      this.#origins.set(origin, gate);
    }
    let release: ((isWell: boolean) => void) | null = null;
    gate.offer({
      admit: (permit) => (release = (isWell) => permit.release(isWell ? "ok" : "drop")),
      refuse: () => undefined, // it only observes
      isGone: () => false,
    });
    return release;
  }

  /** A server of the application's is about to listen; `accounted`: its connections are. */
  guard(server: Server, accounted: boolean): void {
    const { gate } = this.#orders;
    const bounds = isBounded(this.#orders);
    if (this.#guarded.has(server)) return;
    if (!bounds && !this.#hasDeadlines) {
      // streams of http2 are watched anyway
      const hasRequests = !accounted && "keepAliveTimeout" in server;
      if (gate === "observe" && hasRequests) this.#inbound.watchRequests();
      return;
    }
    const mode = bounds ? "enforce" : "observe";
    if (!this.#watchesOutbound) {
      this.#watchesOutbound = true;
      this.#load().forwardDeadlines();
      this.#load().guardOutbound({ mode });
    }
    const guard = this.#load().guardServer(server, {
      name: GATE_NAME,
      mode,
      limit: typeof gate === "number" ? { kind: "fixed", max: gate } : { kind: "loop" },
      // those that are in the ledger already are looked at below
      ...(accounted ? { slowPeers: false } : {}),
      isAccounted: !accounted,
      work: ({ socket }) => {
        const account = (socket as HeldSocket)._handle?.account; // see #execute
        return account === undefined || account === null ? 0 : this.#workOf(account.slot);
      },
      around: (request, turn) => this.#execute(request, turn),
      ageMs: ({ socket }) => (socket as HeldSocket)._handle?.account?.ageMs ?? null,
      ...(this.#hasDeadlines ? { deadlineMs: (request) => deadlineOf(request, this.#orders) } : {}),
    });
    this.#guarded.set(server, guard);
    if (bounds) this.#context.park ??= this.#park;
  }

  readonly #park: ParkRequest = ({ server }, head, waitedMs, bytes) => {
    const guard = server === undefined ? undefined : this.#guarded.get(server);
    return guard?.park(head, waitedMs, bytes) ?? null;
  };

  /** If the application never comes back, it was this request. */
  #execute(request: InboundRequest, turn: () => void): void {
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
    const { gate } = this.#orders;
    if (gate === "off") return;
    this.#beats += 1;
    if (this.#flow !== null && this.#beats % BEATS_PER_LOOK === 0) this.#lookAtPeers(this.#flow);
    if (gate !== "observe" || this.#hasDeadlines) return;
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
    const mode = this.#orders.gate === "observe" ? "observe" : "enforce";
    this.#peers ??= new flow.SlowPeers({ mode });
    const busy: Socket[] = [];
    for (const account of this.#context.accounts) {
      const { owner } = account.handle;
      if (!account.isIdle && owner) busy.push(owner);
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
