/**
 * Reads one HTTP/1.1 response from the bytes of a connection, wherever they are cut.
 *
 * ```
 *   head ──> body ──> complete      a 1xx goes back to head (RFC 9110, 15.2)
 *     │        │
 *     └────────┴────> garbage       what came is no response
 * ```
 * It never looks past the end of the response: those bytes are `rest`.
 */

/** A response, once it is complete. */
export interface Response {
  readonly status: number;
  /** Names in lower case; of repeated fields the last value. */
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
}

/** Larger heads are garbage: no application here sends one. */
const HEAD_BYTES_MAX = 16 * 1024;
const EMPTY = Buffer.alloc(0);

type Framing =
  | { readonly kind: "counted"; left: number }
  | { readonly kind: "chunked"; left: number; expects: "size" | "data" | "trailer" }
  | { readonly kind: "until-end" };

export class ResponseReader {
  #state: "head" | "body" | "complete" | "garbage" = "head";
  #bytes: Buffer = EMPTY;
  #status = 0;
  #headers: ReadonlyMap<string, string> = new Map();
  #framing: Framing = { kind: "counted", left: 0 };
  #body: Buffer[] = [];
  readonly #onBody: ((piece: Buffer) => void) | undefined;

  /** With `onBody` the pieces of the body go there and are not kept. */
  constructor(onBody?: (piece: Buffer) => void) {
    this.#onBody = onBody;
  }

  get isComplete(): boolean {
    return this.#state === "complete";
  }

  get isGarbage(): boolean {
    return this.#state === "garbage";
  }

  /** True when a byte of a response has come. */
  get hasBegun(): boolean {
    return this.#state !== "head" || this.#bytes.length > 0;
  }

  /** 0 until the head is here. */
  get status(): number {
    return this.#status;
  }

  /** Bytes behind the response. */
  get rest(): Buffer {
    return this.#bytes;
  }

  get response(): Response {
    const text = Buffer.concat(this.#body).toString();
    return { status: this.#status, headers: this.#headers, text };
  }

  push(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    while (this.#advance());
  }

  /** The other side has ended the connection in order. */
  end(): void {
    if (this.#state === "body" && this.#framing.kind === "until-end") this.#state = "complete";
  }

  /** One step; false when it needs more bytes, or is done. */
  #advance(): boolean {
    if (this.#state === "head") return this.#readHead();
    if (this.#state !== "body") return false;
    switch (this.#framing.kind) {
      case "counted":
        return this.#readCounted(this.#framing);
      case "chunked":
        return this.#readChunked(this.#framing);
      case "until-end":
        this.#take(this.#bytes.length);
    }
    return false;
  }

  #readHead(): boolean {
    const end = this.#bytes.indexOf("\r\n\r\n");
    if (end < 0) {
      if (this.#bytes.length > HEAD_BYTES_MAX) this.#state = "garbage";
      return false;
    }
    const [first = "", ...lines] = this.#bytes.toString("latin1", 0, end).split("\r\n");
    this.#bytes = this.#bytes.subarray(end + 4);
    const match = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first);
    if (match === null) return this.#fail();
    const status = Number(match[1]);
    if (status >= 100 && status < 200) return true;
    this.#status = status;
    this.#headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const framing = this.#framingOf(status);
    if (framing === undefined) return this.#fail();
    this.#framing = framing;
    this.#state = "body";
    return true;
  }

  /** RFC 9112, 6.3, for a client that sends only GET and POST. */
  #framingOf(status: number): Framing | undefined {
    if (status === 204 || status === 304) return { kind: "counted", left: 0 };
    if (this.#headers.get("transfer-encoding")?.toLowerCase() === "chunked") {
      return { kind: "chunked", left: 0, expects: "size" };
    }
    const length = this.#headers.get("content-length");
    if (length === undefined) return { kind: "until-end" };
    return /^\d+$/.test(length) ? { kind: "counted", left: Number(length) } : undefined;
  }

  #readCounted(framing: Framing & { kind: "counted" }): boolean {
    const bytes = Math.min(framing.left, this.#bytes.length);
    framing.left -= bytes;
    if (bytes > 0) this.#take(bytes);
    if (framing.left === 0) this.#state = "complete";
    return false;
  }

  #readChunked(framing: Framing & { kind: "chunked" }): boolean {
    if (framing.expects === "data") {
      // The chunk and the end of its line.
      if (this.#bytes.length < framing.left + 2) return false;
      this.#take(framing.left);
      if (this.#bytes[0] !== 13 || this.#bytes[1] !== 10) return this.#fail();
      this.#bytes = this.#bytes.subarray(2);
      framing.expects = "size";
      return true;
    }
    const end = this.#bytes.indexOf("\r\n");
    if (end < 0) return false;
    const line = this.#bytes.toString("latin1", 0, end);
    this.#bytes = this.#bytes.subarray(end + 2);
    if (framing.expects === "trailer") {
      if (line === "") this.#state = "complete";
      return line !== "";
    }
    if (!/^[\da-f]{1,8}(?:;|$)/i.test(line)) return this.#fail();
    framing.left = Number.parseInt(line, 16);
    framing.expects = framing.left === 0 ? "trailer" : "data";
    return true;
  }

  #take(count: number): void {
    const piece = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    if (this.#onBody === undefined) this.#body.push(piece);
    else this.#onBody(piece);
  }

  #fail(): false {
    this.#state = "garbage";
    return false;
  }
}
