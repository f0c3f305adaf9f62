/**
 * An HTTP/1.1 client that hides nothing: it sends the bytes it is given, reads one response at a
 * time, and knows how the other side ended the connection (FIN or RST). It never reconnects.
 *
 *   open ──FIN──> "fin"          a FIN in the middle of a response leaves it incomplete
 *     └────RST──> "rst"
 */
import net from "node:net";
import type { Target } from "./service.ts";
import { DEADLINE_MS, within } from "./wait.ts";

export type Ended = "open" | "fin" | "rst";

export interface Head {
  readonly status: number;
  /** Names in lower case; of repeated fields the last value. */
  readonly headers: Readonly<Record<string, string>>;
  /** Status codes of the 1xx responses that came before. */
  readonly informational: readonly number[];
}

export interface Response extends Head {
  readonly body: Buffer;
  readonly text: string;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly deadlineMs?: number;
}

/** The connection ended before the response was complete. */
export class IncompleteError extends Error {
  override readonly name = "IncompleteError";
  readonly ended: Ended;
  /** Bytes of the response that had come. */
  readonly received: number;

  constructor(what: string, ended: Ended, received: Buffer) {
    const start = JSON.stringify(received.subarray(0, 200).toString("latin1"));
    super(`${what}: connection ended (${ended}) after ${received.length} bytes ${start}`);
    this.ended = ended;
    this.received = received.length;
  }
}

const CRLF = "\r\n";

export class RawConnection {
  readonly socket: net.Socket;
  #buffer = Buffer.alloc(0);
  #ended: Ended = "open";
  /** Readers that wait for bytes or the end; normally one. */
  #waiting: (() => void)[] = [];
  #method = "GET";
  #bodyLeft: BodyLength = { kind: "none" };

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.unref(); // Every wait has a deadline: a connection that a failed test left keeps nobody.
    socket.on("data", (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake();
    });
    socket.on("end", () => this.#end("fin"));
    socket.on("error", () => this.#end("rst"));
    socket.on("close", (hadError) => this.#end(hadError ? "rst" : "fin"));
  }

  /** Connects; rejects with the system's error when nobody listens. */
  static open(target: Target, deadlineMs = DEADLINE_MS): Promise<RawConnection> {
    const socket = net.connect({ ...target, allowHalfOpen: true });
    return within(
      "connect",
      new Promise<RawConnection>((resolve, reject) => {
        socket.once("error", reject);
        socket.once("connect", () => {
          socket.off("error", reject);
          resolve(new RawConnection(socket));
        });
      }),
      deadlineMs,
    );
  }

  /** How the other side has ended the connection, if it has. */
  get ended(): Ended {
    return this.#ended;
  }

  /** Bytes received that no response has taken. */
  get unread(): Buffer {
    return this.#buffer;
  }

  /** Sends bytes as they are. */
  send(bytes: string | Buffer): void {
    this.socket.write(bytes);
  }

  /** Waits until the kernel has taken what was sent, and the other side had a turn to read. */
  async drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.socket.write("", () => setImmediate(resolve));
    });
  }

  /** Sends a request without waiting for its response; several in a row are pipelined. */
  sendRequest(method: string, path: string, options: RequestOptions = {}): void {
    this.#method = method;
    const fields: Record<string, string> = { host: "test", ...options.headers };
    const body = Buffer.from(options.body ?? "");
    if (options.body !== undefined && fields["content-length"] === undefined) {
      fields["content-length"] = String(body.length);
    }
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
    const head = [`${method} ${path} HTTP/1.1`, ...lines, "", ""].join(CRLF);
    this.send(Buffer.concat([Buffer.from(head), body]));
  }

  /** Sends a request and reads its response. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    this.sendRequest(method, path, options);
    return this.readResponse(options.deadlineMs);
  }

  /** Reads one response to its end. @throws IncompleteError, DeadlineError */
  async readResponse(deadlineMs = DEADLINE_MS): Promise<Response> {
    return within("response", this.#readWhole(), deadlineMs);
  }

  /** Reads the head of a response; `readBody` then reads its body, piece by piece. */
  async readHead(deadlineMs = DEADLINE_MS): Promise<Head> {
    return within("head of a response", this.#readHead(), deadlineMs);
  }

  /** The next piece of the body, or `undefined` at its end. */
  async readBody(deadlineMs = DEADLINE_MS): Promise<Buffer | undefined> {
    return within("piece of a body", this.#readPiece(), deadlineMs);
  }

  /** The pieces of the body, for as long as they come: a stream that has no deadline. */
  async *body(): AsyncGenerator<Buffer, void> {
    for (;;) {
      const piece = await this.#readPiece();
      if (piece === undefined) return;
      yield piece;
    }
  }

  /** Waits until exactly `count` bytes have come, and takes them. */
  async readBytes(count: number, deadlineMs = DEADLINE_MS): Promise<Buffer> {
    return within(`${count} bytes`, this.#take(count, "bytes"), deadlineMs);
  }

  /** Waits for a line, and takes it without its end. */
  async readLine(deadlineMs = DEADLINE_MS): Promise<string> {
    return within("a line", this.#takeUntil("\n", "line"), deadlineMs);
  }

  /** Waits until the other side has ended the connection. */
  async waitForEnd(deadlineMs = DEADLINE_MS): Promise<Exclude<Ended, "open">> {
    const wait = async (): Promise<Exclude<Ended, "open">> => {
      while (this.#ended === "open") await this.#more();
      return this.#ended;
    };
    return within("end of the connection", wait(), deadlineMs);
  }

  /** Sends FIN and goes on reading. */
  halfClose(): void {
    this.socket.end();
  }

  /** Ends our side for good. */
  close(): void {
    this.socket.destroy();
  }

  /** Ends our side with RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  #end(how: Ended): void {
    if (this.#ended === "open" || how === "rst") this.#ended = how;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #readWhole(): Promise<Response> {
    const head = await this.#readHead();
    const pieces: Buffer[] = [];
    for (;;) {
      const piece = await this.#readPiece();
      if (piece === undefined) break;
      pieces.push(piece);
    }
    const body = Buffer.concat(pieces);
    return { ...head, body, text: body.toString() };
  }

  async #readHead(): Promise<Head> {
    const informational: number[] = [];
    for (;;) {
      const head = parseHead(await this.#takeUntil(CRLF + CRLF, "head"));
      if (head.status < 200 && head.status !== 101) {
        informational.push(head.status);
        continue;
      }
      this.#bodyLeft = bodyLength(this.#method, head);
      return { ...head, informational };
    }
  }

  #readPiece(): Promise<Buffer | undefined> {
    const left = this.#bodyLeft;
    if (left.kind === "counted") return this.#readCounted(left.bytes);
    if (left.kind === "chunked") return this.#readChunk();
    if (left.kind === "until-end") return this.#readUntilEnd();
    return Promise.resolve(undefined);
  }

  async #readCounted(bytesLeft: number): Promise<Buffer> {
    while (this.#buffer.length === 0) await this.#moreOf("body");
    const piece = await this.#take(Math.min(bytesLeft, this.#buffer.length), "body");
    const bytes = bytesLeft - piece.length;
    this.#bodyLeft = bytes === 0 ? { kind: "none" } : { kind: "counted", bytes };
    return piece;
  }

  async #readChunk(): Promise<Buffer | undefined> {
    const line = await this.#takeUntil(CRLF, "chunk size");
    const size = Number.parseInt(line, 16);
    const piece = await this.#take(size, "chunk");
    await this.#takeUntil(CRLF, "end of chunk");
    if (size > 0) return piece;
    this.#bodyLeft = { kind: "none" };
    return undefined;
  }

  async #readUntilEnd(): Promise<Buffer | undefined> {
    while (this.#buffer.length === 0 && this.#ended === "open") await this.#more();
    if (this.#ended === "rst") throw new IncompleteError("body", "rst", this.#buffer);
    const piece = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    return piece.length === 0 ? undefined : piece;
  }

  async #take(count: number, what: string): Promise<Buffer> {
    while (this.#buffer.length < count) await this.#moreOf(what);
    const bytes = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return bytes;
  }

  /** Text up to and without `delimiter`. */
  async #takeUntil(delimiter: string, what: string): Promise<string> {
    let index = this.#buffer.indexOf(delimiter);
    while (index < 0) {
      await this.#moreOf(what);
      index = this.#buffer.indexOf(delimiter);
    }
    const text = this.#buffer.toString("latin1", 0, index);
    this.#buffer = this.#buffer.subarray(index + delimiter.length);
    return text;
  }

  async #moreOf(what: string): Promise<void> {
    if (this.#ended !== "open") throw new IncompleteError(what, this.#ended, this.#buffer);
    await this.#more();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}

type BodyLength =
  | { readonly kind: "none" }
  | { readonly kind: "counted"; readonly bytes: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-end" };

/** RFC 9112, 6.3, for a client. */
function bodyLength(method: string, head: Omit<Head, "informational">): BodyLength {
  if (method === "HEAD" || head.status === 204 || head.status === 304 || head.status === 101) {
    return { kind: "none" };
  }
  if (head.headers["transfer-encoding"]?.toLowerCase() === "chunked") return { kind: "chunked" };
  const length = head.headers["content-length"];
  if (length === undefined) return { kind: "until-end" };
  return length === "0" ? { kind: "none" } : { kind: "counted", bytes: Number(length) };
}

function parseHead(text: string): Omit<Head, "informational"> {
  const [statusLine = "", ...lines] = text.split(CRLF);
  const match = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine);
  if (match === null) throw new Error(`no status line: ${JSON.stringify(text.slice(0, 200))}`);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(match[1]), headers };
}
