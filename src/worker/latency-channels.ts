/**
 * Latencies of requests that no account sees, and routes that no request shows: by diagnostics
 * channels of Node and of Fastify.
 *
 * - `http.server.request.start` and `.response.finish`, from when an https server, or an http
 *   server on a unix path, listens: requests of connections that are opaque.
 * - `http2.server.stream.start`: requests of http2, which end when their stream closes.
 * - `tracing:fastify.request.handler:start`, for one request in each beat of the worker: the
 *   pattern of a Fastify route. A subscriber makes each request of Fastify's a third dearer
 *   (measured, Fastify 5.12), so it leaves as soon as it has heard one.
 *
 * A request without an account begins when its head was parsed and ends when its response was
 * handed to the socket; clients that leave are not counted.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Latency } from "./latency.ts";
import type { Response } from "./node-internals.ts";

/** When a request without an account began, on Node's own response object. */
const startedMs: unique symbol = Symbol("holdfast.started");
type Timed = Response & { [startedMs]?: number };

/** What Node tells (lib/_http_server.js). */
interface HttpMessage {
  readonly response: Timed;
  readonly socket?: { readonly _handle?: { readonly account?: { isOpaque: boolean } | null } };
}

/** What Node tells (lib/internal/http2/core.js). */
interface StreamMessage {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
}

/** What Fastify tells (lib/handle-request.js). */
interface FastifyMessage {
  readonly request?: { readonly raw?: { readonly method?: unknown; readonly url?: unknown } };
  readonly route?: { readonly url?: unknown };
}

/** Counts the requests of servers whose connections are opaque. To be called once. */
export function countUnaccounted(latency: Latency, nowMs: () => number): void {
  subscribe("http.server.request.start", (message) => {
    const { response, socket } = message as HttpMessage; // see its docstring
    const account = socket?._handle?.account;
    if (account === undefined || account === null || account.isOpaque) {
      response[startedMs] = nowMs();
    }
  });
  subscribe("http.server.response.finish", (message) => {
    const { response } = message as HttpMessage; // as above
    const began = response[startedMs];
    if (began !== undefined) latency.ended(response.req, response.statusCode, began, nowMs(), 0);
  });
}

/** Counts the streams of http2 servers. To be called once. */
export function countStreams(latency: Latency, nowMs: () => number): void {
  subscribe("http2.server.stream.start", (message) => {
    const { stream, headers } = message as StreamMessage; // see its docstring
    const began = nowMs();
    stream.once("close", () => {
      const status = stream.rstCode === 0 ? Number(stream.sentHeaders?.[":status"] ?? 0) : 0;
      const { ":method": method = "GET", ":path": url = "/" } = headers;
      latency.ended({ method, url, headers }, status, began, nowMs(), 0);
    });
  });
}

const FASTIFY_CHANNEL = "tracing:fastify.request.handler:start";

/** Hears from Fastify which of its routes a request is for, once in each beat. */
export class FastifyRoutes {
  readonly #latency: Latency;
  #isListening = false;

  constructor(latency: Latency) {
    this.#latency = latency;
  }

  /** Called at each heartbeat. */
  beat(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    subscribe(FASTIFY_CHANNEL, this.#heard);
  }

  readonly #heard = (message: unknown): void => {
    unsubscribe(FASTIFY_CHANNEL, this.#heard);
    this.#isListening = false;
    const { request, route } = message as FastifyMessage; // every member is checked
    const { method, url } = request?.raw ?? {};
    if (typeof method !== "string" || typeof url !== "string") return;
    if (typeof route?.url === "string") this.#latency.learnRoute(method, url, route.url);
  };
}
