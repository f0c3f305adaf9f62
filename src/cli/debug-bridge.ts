/**
 * Between a debugger's WebSocket and a worker's agent: what Chrome DevTools and VS Code connect to.
 *
 * ```
 *   DevTools, VS Code == WebSocket, loopback ==> bridge == control socket ==> reactor == agent
 *     GET /json/list, /json/version               one debugger at a time
 *
 *            WebSocket with the token          handshake done
 *   offered ------------------------> joining ---------------> held
 *      ^-- no agent, or it has gone -----'                      |
 *      ^-------------------- it leaves: a new token ------------'
 *   any of them --close()--> closed
 * ```
 * The address has a token, without which nobody is let in, as any user of this machine can connect
 * to a port of the loopback; addresses stand in terminals, histories and logs, so each is good for
 * one WebSocket. `/json/list` tells the token, so it is at `/<token>/json/list`, and at its usual
 * place only when the bridge is to be found by everybody.
 * `Host` must be an address, so that a web page cannot reach the bridge by a name of its own (DNS
 * rebinding; as Node's inspector does).
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import http from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { WebSocket } from "ws";
import { HoldfastError, JsonLines } from "../base/mod.ts";

const HOST = "127.0.0.1";
/** A debugger evaluates what a person has written; what it gets may be a whole script. */
const LINE_CHARACTERS_MAX: number = 64 * 1024 * 1024;
const MESSAGE_BYTES_MAX: number = 16 * 1024 * 1024;

export interface BridgeOptions {
  readonly title: string;
  /** 0: any. */
  readonly port: number;
  /** Whether `/json/list` is answered to anybody on this machine. */
  readonly isDiscoverable: boolean;
  /** A new connection to the worker's agent. */
  readonly attach: () => Promise<Duplex>;
  readonly onAttached: () => void;
  /** The address is a new one. */
  readonly onDetached: () => void;
}

type BridgeState = "offered" | "joining" | "held" | "closed";

/** See the file's docstring. */
export class DebugBridge {
  readonly #options: BridgeOptions;
  readonly #server: http.Server;
  readonly #sockets: WebSocketServer;
  #token: string = newToken();
  #state: BridgeState = "offered";
  #agent: Duplex | null = null;

  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#sockets = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_BYTES_MAX });
    this.#server = http.createServer((request, response) => this.#answer(request, response));
    this.#server.on("upgrade", (request, socket, head) => {
      // net.Socket, as the server listens on a port
      void this.#upgrade(request, socket as Socket, head);
    });
  }

  /** Where the next debugger connects to. */
  get webSocketUrl(): string {
    return `ws://${this.#address}/${this.#token}`;
  }

  /** What Chrome opens. */
  get devToolsUrl(): string {
    const page = "devtools://devtools/bundled/js_app.html";
    return `${page}?experiments=true&v8only=true&ws=${this.#address}/${this.#token}`;
  }

  get #address(): string {
    const { port } = this.#server.address() as AddressInfo; // it listens on a port
    return `${HOST}:${port}`;
  }

  /** @throws HoldfastError ERR_HOLDFAST_DEBUG when the port cannot be had. */
  async listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen(this.#options.port, HOST, resolve);
    try {
      await promise;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const what = `Cannot listen for a debugger on ${HOST}:${this.#options.port}: ${why}.`;
      const advice = "Choose another --port, or none.";
      throw new HoldfastError("ERR_HOLDFAST_DEBUG", `${what} ${advice}`, { cause: error });
    }
  }

  /** Lets go of the worker and of the port. */
  close(): void {
    this.#state = "closed";
    this.#agent?.destroy();
    for (const client of this.#sockets.clients) client.terminate();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const [, ...path] = (request.url ?? "").split("?")[0]?.split("/") ?? [];
    const hasToken = this.#isToken(path[0] ?? "");
    const asked = path.slice(hasToken ? 1 : 0).filter((part) => part !== "");
    if (!isAddress(request.headers.host)) {
      response.writeHead(400).end();
      return;
    }
    const { title, isDiscoverable } = this.#options;
    // as Chrome lists a target that has its debugger: a tool that has seen it keeps it
    const addresses = {
      devtoolsFrontendUrl: this.devToolsUrl,
      webSocketDebuggerUrl: this.webSocketUrl,
    };
    const target = {
      description: "node.js instance",
      id: this.#token,
      title,
      type: "node",
      url: "file://",
      ...(this.#state === "held" ? {} : addresses),
    };
    const version = { Browser: `node.js/${process.version}`, "Protocol-Version": "1.1" };
    const what = asked.join("/");
    const isList = what === "json" || what === "json/list";
    if (what === "json/version") sendJson(response, version);
    else if (isList && (hasToken || isDiscoverable)) sendJson(response, [target]);
    else response.writeHead(404).end();
  }

  async #upgrade(request: http.IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const onError = (): void => void socket.destroy(); // Node has left it to us
    socket.on("error", onError);
    const token = (request.url ?? "").slice(1);
    if (!isAddress(request.headers.host) || !this.#isToken(token)) {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
      return;
    }
    if (this.#state !== "offered") {
      socket.end("HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\n");
      return;
    }
    this.#state = "joining";
    try {
      const agent = await this.#options.attach();
      socket.off("error", onError);
      const client = this.#accept(request, socket, head);
      if (client === null) agent.destroy();
      else this.#join(client, agent);
    } catch {
      socket.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n");
    }
    if (this.#state === "joining") this.#state = "offered";
  }

  /** Null: it has gone, or what it says is no handshake; ws has answered that. */
  #accept(request: http.IncomingMessage, socket: Socket, head: Buffer): WebSocket | null {
    if (this.#state === "closed") {
      socket.destroy();
      return null;
    }
    const accepted: WebSocket[] = [];
    // it calls back before it returns, or not at all (ws, lib/websocket-server.js)
    this.#sockets.handleUpgrade(request, socket, head, (client) => accepted.push(client));
    return accepted[0] ?? null;
  }

  #join(client: WebSocket, agent: Duplex): void {
    this.#agent = agent;
    this.#state = "held";
    this.#options.onAttached();
    const lines = new JsonLines(LINE_CHARACTERS_MAX);
    agent.on("data", (chunk: Buffer) => {
      for (const message of lines.push(chunk)) client.send(JSON.stringify(message));
    });
    agent.on("error", () => agent.destroy()); // `close` follows
    agent.on("close", () => client.close());
    client.on("message", (data) => {
      // one line a message: what a debugger sends has no line ends outside of its texts
      agent.write(`${oneLineOf(data)}\n`);
    });
    client.on("error", () => client.terminate()); // `close` follows
    client.on("close", () => {
      agent.destroy();
      this.#agent = null;
      if (this.#state === "closed") return;
      this.#token = newToken();
      this.#state = "offered";
      this.#options.onDetached();
    });
  }

  #isToken(text: string): boolean {
    const [given, right] = [Buffer.from(text), Buffer.from(this.#token)];
    return given.length === right.length && timingSafeEqual(given, right);
  }
}

function newToken(): string {
  return randomBytes(16).toString("hex");
}

/** A JSON text may have line ends between its tokens, and only there. */
function oneLineOf(data: unknown): string {
  const bytes = Array.isArray(data) ? Buffer.concat(data as Buffer[]) : (data as Buffer); // of ws
  return bytes.toString().replaceAll(/[\r\n]+/g, " ");
}

function isAddress(host: string | undefined): boolean {
  if (host === undefined) return false;
  const name = host.replace(/:\d+$/, "");
  return name === "localhost" || isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0;
}

function sendJson(response: http.ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json; charset=UTF-8" });
  response.end(JSON.stringify(value, null, 2));
}
