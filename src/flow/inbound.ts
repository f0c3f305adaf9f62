/**
 * A request and what becomes of it, as a gate sees it: of HTTP/1.1, or a stream of http2.
 *
 * ```
 *   came --> served ----> closed: done, or its client has left
 *     |
 *     +----> refused: 503, Retry-After
 * ```
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Refusal } from "../ledger/mod.ts";

/** What is known of a request before it is let in. */
export interface InboundRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** That of the connection. */
  readonly socket: Socket;
}

/** See the file's docstring. */
export interface Exchange {
  readonly request: InboundRequest;
  /** Nobody waits for an answer any more. */
  readonly isClosed: boolean;
  /** `isDone`: the response is out, whole. */
  onClose(listener: (isDone: boolean) => void): void;
  /** In as few steps as possible: there are many of these when there is no time. */
  refuse(reason: Refusal, retryAfterMs: number): void;
}

/** A body that is longer is not read only to be thrown away. */
const DUMPED_BYTES_MAX = 65_536;

export function refusalBody(reason: Refusal): string {
  return `Too much to do (${reason}). Try again later.\n`;
}

export function retryAfterSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

function refusalHeaders(body: string, retryAfterMs: number): Record<string, string> {
  return {
    "Retry-After": String(retryAfterSeconds(retryAfterMs)),
    "Content-Type": "text/plain",
    "Content-Length": String(body.length),
  };
}

/** Of HTTP/1.1. */
export class HttpExchange implements Exchange {
  readonly request: IncomingMessage;
  readonly #response: ServerResponse;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.#response = response;
  }

  get isClosed(): boolean {
    return this.#response.destroyed;
  }

  onClose(listener: (isDone: boolean) => void): void {
    const response = this.#response;
    response.once("close", () => listener(response.writableFinished));
  }

  refuse(reason: Refusal, retryAfterMs: number): void {
    const [request, response] = [this.request, this.#response];
    if (response.destroyed || response.headersSent) return;
    if (reason === "client-gone") {
      request.socket.destroy();
      return;
    }
    const body = refusalBody(reason);
    const length = Number(request.headers["content-length"] ?? 0);
    const hasLongBody =
      length > DUMPED_BYTES_MAX || request.headers["transfer-encoding"] !== undefined;
    response.writeHead(503, {
      ...refusalHeaders(body, retryAfterMs),
      ...(hasLongBody ? { Connection: "close" } : {}),
    });
    response.end(body);
  }
}

/** Of http2; its other streams go on, whatever becomes of this one. */
export class StreamExchange implements Exchange {
  readonly request: InboundRequest;
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.#stream = stream;
    const { ":method": method, ":path": url } = headers as Record<string, string>; // RFC 9113 8.3.1
    // it came just now, so its session is open (lib/internal/http2/core.js)
    const socket = stream.session?.socket as Socket;
    this.request = { method, url, headers, socket };
  }

  get isClosed(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  onClose(listener: (isDone: boolean) => void): void {
    const stream = this.#stream;
    stream.once("close", () => listener(stream.rstCode === 0));
  }

  refuse(reason: Refusal, retryAfterMs: number): void {
    const stream = this.#stream;
    if (this.isClosed || stream.headersSent) return;
    const body = refusalBody(reason);
    stream.respond({ ":status": 503, ...refusalHeaders(body, retryAfterMs) });
    // with what is left of its body the client need not go on (RFC 9113 8.1)
    stream.end(body, () => stream.close());
  }
}
