/**
 * One connection of the client, on bare `node:net`: it never reconnects or repeats, and it can tell
 * how a request failed:
 *
 * ```
 *   ok        a complete response below 400       fin      FIN before the first byte of a response
 *   status    a complete response, 400 or above   rst      RST before the first byte
 *   refused   the connect failed                  short    either of them inside a response
 *   timeout   no complete response in time        garbage  bytes that are no response, or too many
 * ```
 */
import net from "node:net";
import { ResponseReader } from "./response-reader.ts";
import type { Response } from "./response-reader.ts";

export type Failure = "refused" | "fin" | "rst" | "short" | "timeout" | "garbage";

/** What became of one request. */
export type Outcome =
  | { readonly kind: "ok" | "status"; readonly response: Response; readonly ms: number }
  | { readonly kind: Failure; readonly ms: number };

/** How the other side has ended the connection. */
export type Ended = "open" | "fin" | "rst";

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Pieces of the body, for a response that does not end. */
  readonly onBody?: (piece: Buffer) => void;
}

interface Pending {
  readonly reader: ResponseReader;
  readonly startedAt: number;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (outcome: Outcome) => void;
}

export class Connection {
  readonly #socket: net.Socket;
  #ended: Ended = "open";
  #isConnected = false;
  #pending: Pending | undefined;
  #strayBytes = 0;

  /** Connects; a request may be sent at once, and it fails as `refused` if the connect does. */
  constructor(port: number) {
    this.#socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.#socket.on("connect", () => (this.#isConnected = true));
    this.#socket.on("data", (chunk) => this.#receive(chunk));
    this.#socket.on("end", () => this.#end("fin"));
    this.#socket.on("error", () => this.#end("rst"));
    this.#socket.on("close", () => this.#end("fin"));
  }

  get ended(): Ended {
    return this.#ended;
  }

  /** Bytes that came while no request was in flight. */
  get strayBytes(): number {
    return this.#strayBytes;
  }

  /** Sends one request and waits for what becomes of it. One at a time. */
  request(method: string, path: string, options: RequestOptions): Promise<Outcome> {
    if (this.#pending !== undefined) throw new Error("a request is in flight already");
    const startedAt = performance.now();
    if (this.#ended !== "open") {
      return Promise.resolve({ kind: this.#failure(false), ms: 0 });
    }
    return new Promise((resolve) => {
      const reader = new ResponseReader(options.onBody);
      const timer = setTimeout(() => this.#settle("timeout"), options.timeoutMs);
      this.#pending = { reader, startedAt, timer, resolve };
      this.#socket.write(head(method, path, options) + (options.body ?? ""));
    });
  }

  /** Ends our side; nothing more is counted. */
  close(): void {
    this.#settle("timeout");
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    const pending = this.#pending;
    if (pending === undefined) {
      this.#strayBytes += chunk.length;
      return;
    }
    pending.reader.push(chunk);
    if (pending.reader.isGarbage) this.#settle("garbage");
    else if (pending.reader.isComplete) this.#complete(pending.reader);
  }

  #complete(reader: ResponseReader): void {
    if (reader.rest.length > 0) {
      this.#strayBytes += reader.rest.length;
      this.#settle("garbage");
      return;
    }
    this.#settle(reader.status < 400 ? "ok" : "status");
  }

  #end(how: "fin" | "rst"): void {
    if (this.#ended === "open" || how === "rst") this.#ended = how;
    const reader = this.#pending?.reader;
    if (how === "fin") {
      this.#socket.end();
      reader?.end();
      if (reader?.isComplete === true) this.#complete(reader);
    }
    this.#settle(this.#failure(reader?.hasBegun ?? false));
  }

  #failure(hasBegun: boolean): Failure {
    if (!this.#isConnected) return "refused";
    if (hasBegun) return "short";
    return this.#ended === "rst" ? "rst" : "fin";
  }

  #settle(kind: Outcome["kind"]): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    clearTimeout(pending.timer);
    const ms = performance.now() - pending.startedAt;
    if (kind === "ok" || kind === "status") {
      pending.resolve({ kind, response: pending.reader.response, ms });
    } else {
      pending.resolve({ kind, ms });
    }
  }
}

function head(method: string, path: string, options: RequestOptions): string {
  const length = options.body === undefined ? {} : { "content-length": options.body.length };
  const fields = { host: "faults", ...length, ...options.headers };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${path} HTTP/1.1`, ...lines, "", ""].join("\r\n");
}
