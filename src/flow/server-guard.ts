/**
 * A gate in front of a server of http, https or http2: what it refuses gets its `503` before the
 * application or its framework has seen anything of it.
 *
 * ```
 *   parser --> server.emit("request") --> gate --> the application's listeners --> close: released
 *   http2 ---> server.emit("stream")  --^  |
 *                                          +--> 503, Retry-After
 * ```
 * Requests are as old as the kernel says. Health checks pass.
 */
import { channel } from "node:diagnostics_channel";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Server as NetServer, Socket } from "node:net";
import { Crowd, deadlineOfHeaders } from "../base/mod.ts";
import type { CrowdMember } from "../base/mod.ts";
import type { Refusal } from "../ledger/mod.ts";
import { withContext } from "./context.ts";
import type { Criticality } from "./context.ts";
import { Deadline } from "./deadline.ts";
import { FlowError, checkNames, checkThere } from "./errors.ts";
import type { OptionNames, Overloaded } from "./errors.ts";
import { Gate } from "./gate.ts";
import type { EnterOptions, GateOptions, QueueOptions } from "./gate.ts";
import { nowMs } from "./clock.ts";
import { HttpExchange, StreamExchange, refusalBody, retryAfterSeconds } from "./inbound.ts";
import type { Exchange, InboundRequest } from "./inbound.ts";
import { hasPeerLeft, kernelAgeMs } from "./kernel-age.ts";
import type { LimitOptions } from "./limits.ts";
import { isPlainRequest, targetOf, userAgentOf } from "./parked-request.ts";
import type { ParkedBytes } from "./parked-request.ts";
import { SessionPeer, SlowPeers } from "./slow-peers.ts";
import type { Peer, SlowPeerOptions } from "./slow-peers.ts";
import { processFlow } from "./process-flow.ts";
import { BoundVisitor } from "./visitor.ts";
import type { Permit, Visitor } from "./visitor.ts";
import { account } from "./work.ts";
import type { Work } from "./work.ts";

export interface ServerGuardOptions {
  /** Default `http.in`. */
  readonly name?: string;
  /** Default: what the event loop needs to be never idle. */
  readonly limit?: LimitOptions;
  readonly queue?: QueueOptions;
  readonly mode?: GateOptions["mode"];
  /** For requests that do not say how long they may take; default: no limit. */
  readonly deadlineMs?: number | ((request: InboundRequest) => number | null);
  /** Default: all are `critical`. */
  readonly criticality?: (request: InboundRequest) => Criticality;
  /** What is never refused; default: the usual paths and senders of health checks. */
  readonly passes?: (request: InboundRequest) => boolean;
  /** Connections of clients that are too slow; default: bounded as `SlowPeerOptions` says. */
  readonly slowPeers?: SlowPeerOptions | false;
  /** Called instead of the application's turn, which is what it is to call. */
  readonly around?: (request: InboundRequest, turn: () => void) => void;
  /** Whether requests stand in the accounts as `http.in`; default: yes. */
  readonly isAccounted?: boolean;
  /** If not, under which number they are known, as parents of what is done for them. */
  readonly work?: (request: InboundRequest) => Work;
  /** How long ago a request came, in milliseconds; null, and by default: the kernel is asked. */
  readonly ageMs?: (request: InboundRequest) => number | null;
}

const NAMES: OptionNames<ServerGuardOptions> = {
  name: true,
  limit: true,
  queue: true,
  mode: true,
  deadlineMs: true,
  criticality: true,
  passes: true,
  slowPeers: true,
  around: true,
  isAccounted: true,
  work: true,
  ageMs: true,
};

/** What `guardServer` gives. */
export interface ServerGuard extends Disposable {
  readonly gate: Gate;
  /**
   * For who reads the server's connections himself: a request that is to wait as bytes, which came
   * `waitedMs` ago; null: it must be parsed now.
   */
  park(head: Buffer, waitedMs: number, bytes: ParkedBytes): ParkedRequest | null;
}

/** Of http, https or http2; the last one has no timeout between requests. */
type GuardedServer = NetServer & { readonly keepAliveTimeout?: number };
type Emit = NetServer["emit"];

const HEALTH_PATH =
  /^\/_?(?:health(?:z|-?check)?|live(?:z|ness)?|ready(?:z|ness)?|ping|status)(?:[/?]|$)/i;
const HEALTH_SENDER = /^(?:kube-probe|ELB-HealthChecker|GoogleHC|Consul Health Check)/;
/** Node's own: each request that was parsed. */
const REQUEST_START = channel("http.server.request.start");
/** Of parked requests: they are judged by nothing that is not in their bytes. */
const PARKED: EnterOptions = { deadline: null, criticality: "critical" };
/** Texts of `503` that are kept. */
const REFUSAL_TEXTS_MAX = 64;
const LOOK_MS = 1000;
/** A queue in front of an event loop: what has waited longer is late for most callers. */
const SERVER_QUEUE: QueueOptions = { max: 10_000, targetMs: 20, intervalMs: 100, maxWaitMs: 1000 };

/** The usual paths and senders of health checks. */
function isHealthCheck(url: string, userAgent: string): boolean {
  return HEALTH_PATH.test(url) || HEALTH_SENDER.test(userAgent);
}

function isHealthRequest({ url = "", headers }: InboundRequest): boolean {
  return isHealthCheck(url, headers["user-agent"] ?? "");
}

/** The client left before it had its response. */
class ClientGone extends FlowError {
  constructor() {
    super(
      "ERR_HOLDFAST_CLIENT_GONE",
      "The client has left before it had its response: nobody waits for this any more.",
    );
  }
}

/** One request on its way through the gate. */
class GuardedRequest implements Visitor {
  readonly #guard: Guard;
  readonly #exchange: Exchange;
  readonly #emit: () => void;
  readonly arrivedMs: number;

  constructor(guard: Guard, exchange: Exchange, emit: () => void, arrivedMs: number) {
    this.#guard = guard;
    this.#exchange = exchange;
    this.#emit = emit;
    this.arrivedMs = arrivedMs;
  }

  admit(permit: Permit): void {
    const exchange = this.#exchange;
    if (exchange.isClosed) {
      permit.release("ignore");
      return;
    }
    exchange.onClose((isDone) => permit.release(isDone ? "ok" : "ignore"));
    this.#guard.serve(exchange, this.#emit, this.arrivedMs);
  }

  refuse(reason: Refusal, retryAfterMs: number): void {
    this.#exchange.refuse(reason, retryAfterMs);
  }

  isGone(): boolean {
    return this.#exchange.isClosed || hasPeerLeft(this.#exchange.request.socket);
  }
}

/** One request that waits as bytes, until it is let in or more bytes follow. */
export class ParkedRequest implements Visitor {
  readonly #guard: Guard;
  readonly #bytes: ParkedBytes;
  readonly #target: string;
  readonly arrivedMs: number;
  /** The parser brings the context of the connection with it. */
  readonly isContextFree = true;
  #isParsed = false;
  #parsed: Visitor | null = null;

  constructor(guard: Guard, bytes: ParkedBytes, target: string, arrivedMs: number) {
    this.#guard = guard;
    this.#bytes = bytes;
    this.#target = target;
    this.arrivedMs = arrivedMs;
  }

  /** Into the gate. To be called once. */
  enter(): void {
    this.#guard.gate.offer(this, PARKED);
  }

  /** More bytes have come behind it: it waits as a request from now on. */
  parse(): void {
    this.#isParsed = true;
    this.#parsed = this.#guard.parse(this.#bytes, this.arrivedMs, null);
  }

  /** Its connection is being closed from this side: nobody will ask for it again. */
  close(): void {
    this.#bytes.answer(503, this.#guard.refusal("closed", 0, true), this.#target);
  }

  admit(permit: Permit): void {
    if (this.#isParsed) {
      if (this.#parsed === null) permit.release("ignore");
      else this.#parsed.admit(permit);
      return;
    }
    this.#isParsed = true;
    this.#guard.parse(this.#bytes, this.arrivedMs, permit);
  }

  refuse(reason: Refusal, retryAfterMs: number, error: () => Overloaded): void {
    if (this.#isParsed) this.#parsed?.refuse(reason, retryAfterMs, error);
    else if (reason === "client-gone") this.#bytes.socket?.destroy();
    else this.#bytes.answer(503, this.#guard.refusal(reason, retryAfterMs, false), this.#target);
  }

  isGone(): boolean {
    if (this.#isParsed) return this.#parsed?.isGone?.() !== false;
    const { socket } = this.#bytes;
    return socket === null || hasPeerLeft(socket);
  }
}

/** What is being parsed right now: the next request is its. */
interface Parsing {
  readonly arrivedMs: number;
  /** Null: it goes on waiting. */
  readonly permit: Permit | null;
  visitor: Visitor | null;
}

/** A text is made once for each second. */
interface RefusalText {
  readonly second: number;
  readonly text: string;
}

/** See the file's docstring. */
class Guard {
  readonly gate: Gate;
  readonly #passes: (request: InboundRequest) => boolean;
  readonly #deadlineMs: ServerGuardOptions["deadlineMs"];
  readonly #criticality: ServerGuardOptions["criticality"];
  readonly #isAccounted: boolean;
  readonly #workOf: ServerGuardOptions["work"];
  readonly #around: ServerGuardOptions["around"];
  readonly #ageMs: ServerGuardOptions["ageMs"];
  readonly #server: GuardedServer;
  /** What a request is judged by can be seen in its bytes. */
  readonly #parks: boolean;
  #parsing: Parsing | null = null;
  readonly #refusals = new Map<string, RefusalText>();

  constructor(server: GuardedServer, options: ServerGuardOptions) {
    checkThere("server", (server as Partial<NetServer> | undefined)?.emit, "a server of node:http");
    checkNames(options, NAMES);
    this.#server = server;
    this.#parks =
      options.passes === undefined &&
      options.deadlineMs === undefined &&
      options.criticality === undefined;
    const { name = "http.in", limit = { kind: "loop" }, mode = "enforce" } = options;
    const queue = { ...SERVER_QUEUE, ...options.queue };
    this.gate = new Gate({ name, limit, mode, queue, account: null });
    this.#passes = options.passes ?? isHealthRequest;
    this.#deadlineMs = options.deadlineMs;
    this.#criticality = options.criticality;
    this.#isAccounted = options.isAccounted ?? true;
    this.#workOf = options.work;
    this.#around = options.around;
    this.#ageMs = options.ageMs;
  }

  /** A request whose head was parsed. */
  came(exchange: Exchange, emit: () => void): void {
    const now = nowMs();
    const parsing = this.#parsing;
    if (parsing !== null) {
      this.#parsing = null;
      const visitor = new GuardedRequest(this, exchange, emit, parsing.arrivedMs);
      if (parsing.permit === null) parsing.visitor = new BoundVisitor(visitor);
      else visitor.admit(parsing.permit);
      return;
    }
    const { request } = exchange;
    if (this.#passes(request)) {
      this.serve(exchange, emit, now);
      return;
    }
    // asking the kernel costs microseconds: not while there is room for everything
    const isBusy = this.gate.queued > 0 || this.gate.inFlight * 2 > this.gate.limit;
    const ageMs = isBusy ? (this.#ageMs?.(request) ?? kernelAgeMs(request.socket)) : 0;
    const arrivedMs = now - ageMs;
    const visitor = new GuardedRequest(this, exchange, emit, arrivedMs);
    const ms = this.#limitOf(request);
    const deadline = ms === null ? null : new Deadline(arrivedMs + ms);
    const criticality = this.#criticality?.(request) ?? "critical";
    this.gate.offer(visitor, { deadline, criticality });
  }

  /** See ServerGuard. */
  park(head: Buffer, waitedMs: number, bytes: ParkedBytes): ParkedRequest | null {
    // who listens to Node's channel is told of every request, also of those that are refused
    if (!this.#parks || !this.gate.isFull || REQUEST_START.hasSubscribers) return null;
    if (!this.#server.listening) return null;
    const text = head.toString("latin1");
    if (!isPlainRequest(text)) return null;
    const target = targetOf(head);
    if (isHealthCheck(target, userAgentOf(text))) return null;
    return new ParkedRequest(this, bytes, target, nowMs() - waitedMs);
  }

  /** Parses what was parked. Without a permit it goes on waiting: as what this returns, if any. */
  parse(bytes: ParkedBytes, arrivedMs: number, permit: Permit | null): Visitor | null {
    const parsing: Parsing = { arrivedMs, permit, visitor: null };
    this.#parsing = parsing;
    try {
      bytes.parse();
    } finally {
      if (this.#parsing === parsing) {
        this.#parsing = null;
        permit?.release("ignore"); // it has gone, or the parser has refused it
      }
    }
    return parsing.visitor;
  }

  /** The `503` of one that was not parsed. */
  refusal(reason: Refusal, retryAfterMs: number, isLast: boolean): string {
    const afterSeconds = retryAfterSeconds(retryAfterMs);
    const key = `${reason} ${afterSeconds} ${isLast}`;
    const second = Math.floor(Date.now() / 1000);
    const known = this.#refusals.get(key);
    if (known?.second === second) return known.text;
    if (this.#refusals.size >= REFUSAL_TEXTS_MAX) this.#refusals.clear();
    const keepSeconds = Math.floor((this.#server.keepAliveTimeout ?? 0) / 1000);
    const keepAlive =
      keepSeconds > 0 ? `keep-alive\r\nKeep-Alive: timeout=${keepSeconds}` : "keep-alive";
    const body = refusalBody(reason);
    const text =
      `HTTP/1.1 503 Service Unavailable\r\nRetry-After: ${afterSeconds}\r\n` +
      `Content-Type: text/plain\r\nContent-Length: ${body.length}\r\n` +
      `Date: ${new Date().toUTCString()}\r\n` +
      `Connection: ${isLast ? "close" : keepAlive}\r\n\r\n${body}`;
    this.#refusals.set(key, { second, text });
    return text;
  }

  #limitOf(request: InboundRequest): number | null {
    const told = deadlineOfHeaders(request.headers);
    if (told !== null) return told;
    const own = this.#deadlineMs;
    return typeof own === "function" ? own(request) : (own ?? null);
  }

  /** The application's turn. */
  serve(exchange: Exchange, emit: () => void, arrivedMs: number): void {
    const { request } = exchange;
    const turn = this.#around === undefined ? emit : () => this.#around?.(request, emit);
    const ms = this.#limitOf(request);
    if (ms === null && !this.#isAccounted) {
      // who does not say how long it may take is not cut short either: only told apart
      if (!processFlow().isAsked) turn();
      else withContext({ work: this.#workOf?.(request) ?? 0 }, turn);
      return;
    }
    const deadline = new Deadline(ms === null ? Number.POSITIVE_INFINITY : arrivedMs + ms);
    const work = this.#isAccounted ? begin(exchange, deadline) : (this.#workOf?.(request) ?? 0);
    exchange.onClose((isDone) => {
      if (!isDone) deadline.cancel(new ClientGone());
    });
    const criticality = this.#criticality?.(request) ?? "critical";
    withContext({ deadline, work, criticality }, turn);
  }
}

/** The request stands in the accounts until its response is out. */
function begin(exchange: Exchange, { atMs }: Deadline): Work {
  const inbound = account("http.in");
  const name = nameOf(exchange.request);
  const work = inbound.begin(name, Number.isFinite(atMs) ? atMs : 0, 0);
  exchange.onClose((isDone) => inbound.end(work, isDone ? "ok" : "cancelled"));
  return work;
}

/** Method and first segment of the path: one of few. */
function nameOf({ method = "GET", url = "/" }: InboundRequest): string {
  const end = url.slice(1).search(/[/?]/);
  return `${method} ${end < 0 ? url : url.slice(0, end + 1)}`;
}

/** Kinds of the accounts of connections that Node, or the kernel, has given up. */
const GIVEN_UP: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: "request-timeout", // headersTimeout, requestTimeout
  ETIMEDOUT: "peer-not-acking", // TCP_USER_TIMEOUT
};

/** A connection has failed: counted by reason, where it was given up on purpose. */
function countFailed(error: unknown): void {
  const { code } = error as { readonly code?: unknown }; // what Node emits as `clientError`
  const kind = typeof code === "string" ? GIVEN_UP[code] : undefined;
  if (kind === undefined) return;
  const failed = account(kind);
  failed.end(failed.begin("", 0, 0), "refused");
}

/** Looks at the server's connections each second. Returns what ends that. */
function watchPeers(
  server: GuardedServer,
  { mode = "enforce", slowPeers }: ServerGuardOptions,
): () => void {
  const peers = new SlowPeers({ mode, ...(slowPeers === false ? {} : slowPeers) });
  const crowd = new Crowd<CrowdMember & { readonly peer: Peer }>();
  const watchOne = (peer: Peer, connection: Socket | ServerHttp2Session): void => {
    const member = { place: -1, peer };
    crowd.add(member);
    connection.once("close", () => crowd.delete(member));
  };
  const onConnection = (socket: Socket): void => watchOne(socket, socket);
  const onSession = (session: ServerHttp2Session): void =>
    watchOne(new SessionPeer(session), session);
  // with TLS what holds the bytes is the socket that is made of a connection
  const event = "setSecureContext" in server ? "secureConnection" : "connection";
  server.on(event, onConnection).on("session", onSession);
  const look = (): void =>
    peers.look(
      Array.from(crowd, ({ peer }) => peer),
      nowMs(),
    );
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    server.off(event, onConnection).off("session", onSession);
  };
}

/** What of a server's events is a request: what is judged, and null for what is not. */
function exchangeOf(event: string, args: readonly unknown[]): Exchange | null {
  if (event === "request" || event === "checkContinue") {
    const [request, response] = args as [IncomingMessage, ServerResponse]; // of these events
    // of http2's `request` the stream was judged
    return request.httpVersionMajor === 2 ? null : new HttpExchange(request, response);
  }
  if (event !== "stream") return null;
  const [stream, headers] = args as [ServerHttp2Stream, IncomingHttpHeaders]; // of http2
  // as an upgrade of HTTP/1.1: lives for as long as its client wants (RFC 8441)
  return headers[":method"] === "CONNECT" ? null : new StreamExchange(stream, headers);
}

/**
 * Puts a gate in front of a server of http, https or http2, until it is disposed of.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function guardServer(server: GuardedServer, options: ServerGuardOptions = {}): ServerGuard {
  const guard = new Guard(server, options);
  // called with the server as `this`, below
  // oxlint-disable-next-line typescript/unbound-method
  const { emit } = server;
  let isDisposed = false;
  const guarded = function guarded(
    this: GuardedServer,
    event: string,
    ...args: unknown[]
  ): boolean {
    const exchange = isDisposed ? null : exchangeOf(event, args);
    if (exchange === null) {
      if (event === "clientError" && !isDisposed) countFailed(args[0]);
      return Reflect.apply(emit, this, [event, ...args]) as boolean; // emit's own
    }
    guard.came(exchange, () => void Reflect.apply(emit, this, [event, ...args]));
    return true;
  };
  const watch = options.slowPeers === false ? null : watchPeers(server, options);
  const hadOwn = Object.hasOwn(server, "emit");
  Object.defineProperty(server, "emit", {
    value: guarded,
    configurable: true,
    enumerable: false,
    writable: true,
  });
  return {
    gate: guard.gate,
    park: (head, waitedMs, bytes) => (isDisposed ? null : guard.park(head, waitedMs, bytes)),
    [Symbol.dispose]: () => {
      isDisposed = true;
      watch?.();
      // somebody else may have wrapped it meanwhile: then ours stays, and lets everything through
      if (server.emit === (guarded as Emit)) {
        if (hadOwn) server.emit = emit;
        else Reflect.deleteProperty(server, "emit");
      }
      guard.gate.close();
    },
  };
}
