/**
 * The control socket: a small HTTP/1.1 server for JSON on a listening unix socket, which the keeper
 * made and keeps, so that it outlives the reactor. `node:http` is not loaded here.
 *
 * ```
 *   accepted --request complete--> handler --json--> answered --> closed
 *      |                              +----lines--> streaming --> closed
 *      +--refused, too slow, too many--> answered with 4xx or 503 --> closed
 * ```
 * One request a connection. An answer is one JSON value, or lines of JSON (NDJSON) that end with
 * the connection; a client that does not read holds up its own stream only, and is dropped after
 * `writeTimeoutMs`.
 */
import { createServer } from "node:net";
import type { ListenOptions, Server, Socket } from "node:net";
import { HoldfastError } from "../base/mod.ts";
import { ControlRequestError, RequestReader, answerHead, parseBody } from "./control-http.ts";
import type { RequestHead } from "./control-http.ts";

export interface ControlLimits {
  /** Operators and their dashboards; more at once is a mistake somewhere. */
  readonly connectionsMax: number;
  /** From the first byte to the last of a request that comes from this very machine. */
  readonly requestTimeoutMs: number;
  /** A client that takes nothing for this long has gone. */
  readonly writeTimeoutMs: number;
}

export const CONTROL_LIMITS: ControlLimits = {
  connectionsMax: 64,
  requestTimeoutMs: 10_000,
  writeTimeoutMs: 30_000,
};

export interface ControlRequest {
  readonly query: URLSearchParams;
  /** The JSON body; undefined when there was none. */
  readonly body: unknown;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

export type ControlAnswer =
  | { readonly status: number; readonly json: unknown }
  /**
   * `isEndless`: a client that ends its half has gone. Otherwise it may have meant only that it has
   * asked, and gets all lines.
   */
  | { readonly lines: AsyncIterable<unknown>; readonly isEndless: boolean }
  /** The connection speaks something else from here on (101), and is the taker's. */
  | { readonly take: (socket: Socket) => void };

/** Answers one request, or throws a ControlRequestError. */
export type ControlHandler = (request: ControlRequest) => ControlAnswer | Promise<ControlAnswer>;

/** Handlers by method and path, e.g. `GET /v1/status`. */
export type ControlRoutes = Readonly<Record<string, ControlHandler>>;

/** RFC 9110, section 7.8: the protocol is ours, and has this name. */
const UPGRADED =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: holdfast-lines\r\n\r\n";

export class ControlServer {
  readonly #routes: ReadonlyMap<string, ControlHandler>;
  readonly #limits: ControlLimits;
  readonly #onFault: (error: unknown) => void;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  /** @param onFault told of errors that are our own, not the client's */
  constructor(
    routes: ControlRoutes,
    onFault: (error: unknown) => void,
    limits: ControlLimits = CONTROL_LIMITS,
  ) {
    this.#routes = new Map(Object.entries(routes));
    this.#limits = limits;
    this.#onFault = onFault;
    // A client may end its half when it has asked (`nc -N`) and still gets its answer.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => void this.#serve(socket));
    this.#server.on("error", onFault);
  }

  /** Serves a listening descriptor (`{ fd }`), which is then this server's to close. */
  async listen(where: ListenOptions): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen(where, resolve);
    await promise;
    this.#server.off("error", reject);
  }

  /** Takes no more requests; resolves when the answers under way have been given. */
  close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    return promise;
  }

  /** Drops everybody at once. */
  destroy(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #serve(socket: Socket): Promise<void> {
    const gone = new AbortController();
    this.#sockets.add(socket);
    socket.on("error", () => gone.abort()); // the client's affair: `close` follows
    socket.on("close", () => {
      this.#sockets.delete(socket);
      gone.abort();
    });
    try {
      const answer = await this.#answer(socket, gone.signal);
      if ("take" in answer) {
        socket.write(UPGRADED);
        return answer.take(socket);
      }
      if ("lines" in answer) {
        if (answer.isEndless) socket.once("end", () => gone.abort());
        await this.#stream(socket, answer.lines, gone.signal);
      } else sendJson(socket, answer.status, answer.json);
    } catch (error) {
      this.#refuse(socket, error);
    }
    socket.end();
    socket.setTimeout(this.#limits.writeTimeoutMs, () => socket.destroy());
    socket.once("finish", () => socket.destroySoon());
  }

  async #answer(socket: Socket, signal: AbortSignal): Promise<ControlAnswer> {
    if (this.#sockets.size > this.#limits.connectionsMax) {
      socket.resume();
      throw new ControlRequestError(503, "too many connections to the control socket");
    }
    const { head, body } = await this.#request(socket);
    const handler = this.#routes.get(`${head.method} ${head.path}`);
    if (handler !== undefined) return handler({ query: head.query, body: parseBody(body), signal });
    const routes = [...this.#routes.keys()];
    const isKnown = routes.some((route) => route.endsWith(` ${head.path}`));
    const message = `there is no ${head.method} ${head.path}; there is ${routes.join(", ")}`;
    throw new ControlRequestError(isKnown ? 405 : 404, message);
  }

  #request(socket: Socket): Promise<{ head: RequestHead; body: Buffer }> {
    const reader = new RequestReader();
    const { promise, resolve, reject } = Promise.withResolvers<{
      head: RequestHead;
      body: Buffer;
    }>();
    const tooSlow = new ControlRequestError(408, "the request did not arrive in time");
    const timer = setTimeout(() => reject(tooSlow), this.#limits.requestTimeoutMs);
    let hasContinued = false;
    const onData = (chunk: Buffer): void => {
      try {
        const body = reader.push(chunk);
        if (body !== null && reader.head !== null) resolve({ head: reader.head, body });
        else if (reader.head?.expectsContinue === true && !hasContinued) {
          hasContinued = true;
          socket.write("HTTP/1.1 100 Continue\r\n\r\n");
        }
      } catch (error) {
        reject(error);
      }
    };
    const onEnd = (): void => reject(new ControlRequestError(400, "the request is not complete"));
    socket.on("data", onData);
    socket.once("end", onEnd);
    socket.once("close", onEnd);
    return promise.finally(() => {
      clearTimeout(timer);
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      socket.resume(); // what else the client sends is read and ignored, so that its end is seen
    });
  }

  async #stream(socket: Socket, lines: AsyncIterable<unknown>, signal: AbortSignal): Promise<void> {
    socket.write(answerHead(200, "application/x-ndjson", null));
    const iterator = lines[Symbol.asyncIterator]();
    const gone = new Promise<null>((resolve) => {
      signal.addEventListener("abort", () => resolve(null), { once: true });
    });
    while (!signal.aborted) {
      const next = await Promise.race([iterator.next(), gone]);
      if (next === null || next.done === true) break;
      if (socket.write(`${JSON.stringify(next.value)}\n`)) continue;
      await Promise.race([this.#drained(socket), gone]);
    }
    // Not awaited: a generator that waits for something else ends when it sees the signal.
    iterator.return?.().catch(this.#onFault);
  }

  #drained(socket: Socket): Promise<null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => socket.destroy(), this.#limits.writeTimeoutMs);
      const onDrain = (): void => {
        clearTimeout(timer);
        socket.off("drain", onDrain).off("close", onDrain);
        resolve(null);
      };
      socket.on("drain", onDrain).on("close", onDrain);
    });
  }

  #refuse(socket: Socket, error: unknown): void {
    if (socket.destroyed || socket.writableEnded) return;
    if (error instanceof ControlRequestError) {
      return sendJson(socket, error.status, { code: error.code, message: error.message });
    }
    this.#onFault(error);
    const code = error instanceof HoldfastError ? error.code : "ERR_HOLDFAST_INTERNAL";
    const message = error instanceof Error ? error.message : String(error);
    sendJson(socket, 500, { code, message });
  }
}

function sendJson(socket: Socket, status: number, value: unknown): void {
  const body = `${JSON.stringify(value)}\n`;
  socket.write(answerHead(status, "application/json", Buffer.byteLength(body)) + body);
}
