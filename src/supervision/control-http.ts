/**
 * One HTTP/1.1 request, parsed once from bytes of anybody: just enough of RFC 9112 for the control
 * socket and `curl --unix-socket`. Every connection carries one request.
 *
 * ```
 *   head: at most HEAD_BYTES_MAX, CRLF lines     body: Content-Length only, at most BODY_BYTES_MAX
 * ```
 * What is not understood is refused with a status that says so, never guessed.
 */
import { HoldfastError } from "../base/mod.ts";

/** As most servers; our own client sends 200 bytes. */
export const HEAD_BYTES_MAX: number = 8 * 1024;
/** The largest body is an environment; Linux allows 2 MiB for one by default, few have 100 KiB. */
export const BODY_BYTES_MAX: number = 1024 * 1024;

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

/** A request to the control socket that is refused, with the HTTP status that says why. */
export class ControlRequestError extends HoldfastError {
  readonly status: number;

  constructor(status: number, message: string) {
    super("ERR_HOLDFAST_CONTROL_REQUEST", message);
    this.status = status;
  }
}

export interface RequestHead {
  readonly method: string;
  /** Without the query, as sent. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly bodyBytes: number;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

/** RFC 9112 section 3: method, origin-form target, version. */
const REQUEST_LINE = /^([A-Z]{1,16}) (\/[\x21-\x7e]*) HTTP\/(\d)\.(\d)$/;
/** RFC 9110 section 5.1 and 5.5: a token, and visible characters, spaces and tabs. */
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;

/**
 * Parses a head, without the empty line that ends it.
 * @throws ControlRequestError when it is anything but a request that is understood
 */
export function parseHead(text: string): RequestHead {
  const [requestLine = "", ...lines] = text.split("\r\n");
  const match = REQUEST_LINE.exec(requestLine);
  if (match === null) throw new ControlRequestError(400, "this is no HTTP request line");
  const [, method = "", target = "", major] = match;
  if (major !== "1") throw new ControlRequestError(505, "speak HTTP/1.1");
  const fields = parseFields(lines);
  const queryAt = target.indexOf("?");
  return {
    method,
    path: queryAt < 0 ? target : target.slice(0, queryAt),
    query: new URLSearchParams(queryAt < 0 ? "" : target.slice(queryAt + 1)),
    bodyBytes: bodyBytes(fields),
    expectsContinue: fields.get("expect")?.toLowerCase() === "100-continue",
  };
}

function parseFields(lines: readonly string[]): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const match = FIELD.exec(line);
    if (match === null) throw new ControlRequestError(400, "a header field is malformed");
    const [, name = "", value = ""] = match;
    const key = name.toLowerCase();
    if (key === "content-length" && fields.has(key)) {
      throw new ControlRequestError(400, "more than one Content-Length");
    }
    fields.set(key, value.trimEnd());
  }
  return fields;
}

function bodyBytes(fields: ReadonlyMap<string, string>): number {
  if (fields.has("transfer-encoding")) {
    throw new ControlRequestError(501, "Transfer-Encoding is not understood; send Content-Length");
  }
  const length = fields.get("content-length") ?? "0";
  if (!/^\d{1,15}$/.test(length)) throw new ControlRequestError(400, "Content-Length is no number");
  if (Number(length) > BODY_BYTES_MAX) {
    throw new ControlRequestError(413, `a body may have ${BODY_BYTES_MAX} bytes at most`);
  }
  return Number(length);
}

const HEAD_END = Buffer.from("\r\n\r\n");

/** Collects the bytes of one request. */
export class RequestReader {
  #bytes: Buffer = Buffer.alloc(0);
  #head: RequestHead | null = null;

  /** The head, once it is complete. */
  get head(): RequestHead | null {
    return this.#head;
  }

  /**
   * Takes more bytes; returns the body once the request is complete. What follows it is ignored.
   * @throws ControlRequestError when the request is refused
   */
  push(chunk: Buffer): Buffer | null {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    this.#head ??= this.#takeHead();
    if (this.#head === null || this.#bytes.length < this.#head.bodyBytes) return null;
    return this.#bytes.subarray(0, this.#head.bodyBytes);
  }

  #takeHead(): RequestHead | null {
    const end = this.#bytes.subarray(0, HEAD_BYTES_MAX).indexOf(HEAD_END);
    if (end >= 0) {
      const head = parseHead(this.#bytes.subarray(0, end).toString("latin1"));
      this.#bytes = this.#bytes.subarray(end + HEAD_END.length);
      return head;
    }
    if (this.#bytes.length >= HEAD_BYTES_MAX) {
      throw new ControlRequestError(431, `a head may have ${HEAD_BYTES_MAX} bytes at most`);
    }
    return null;
  }
}

/**
 * The JSON value of a body; undefined for an empty one.
 * @throws ControlRequestError when it is not JSON
 */
export function parseBody(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ControlRequestError(400, `the body is not JSON: ${why}`);
  }
}

/** The head of an answer; `bodyBytes` null: the body ends with the connection. */
export function answerHead(status: number, contentType: string, bodyBytes: number | null): string {
  const length = bodyBytes === null ? "" : `Content-Length: ${bodyBytes}\r\n`;
  return (
    `HTTP/1.1 ${status} ${REASONS[status] ?? "Status"}\r\nContent-Type: ${contentType}\r\n` +
    `${length}Cache-Control: no-store\r\nConnection: close\r\n\r\n`
  );
}
