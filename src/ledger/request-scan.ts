/**
 * Finds the requests in the bytes of a journal: where each head and body ends, and whether it may
 * be repeated. Not a parser for serving: Node's own parser has seen these bytes. This one only has
 * to know when it does not know: anything but plain RFC 9112 framing is `unclear`, and bytes that
 * are unclear are never replayed.
 */

/** One request in a journal. Offsets count from the first byte scanned. */
export interface ScannedRequest {
  readonly start: number;
  /** Offset behind the empty line, or -1 while the head is incomplete. */
  readonly headEnd: number;
  /** Offset behind the body, or -1 while it is incomplete (or has no end: an upgrade). */
  readonly end: number;
  readonly method: string;
  readonly target: string;
  /** RFC 9110 9.2.1. */
  readonly isSafe: boolean;
  /** RFC 9110 9.2.2, or an `Idempotency-Key` header is there. */
  readonly isRepeatable: boolean;
  readonly hasKey: boolean;
}

export interface RequestScan {
  readonly requests: readonly ScannedRequest[];
  /** False: framing that this scanner does not vouch for. `requests` holds what came before it. */
  readonly isClear: boolean;
}

const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
const IDEMPOTENT: ReadonlySet<string> = new Set([...SAFE, "PUT", "DELETE"]);
/**
 * Node refuses longer heads by default (--max-http-header-size, 16 KiB); headroom for a raised one.
 */
const HEAD_BYTES_MAX = 256 * 1024;
const REQUEST_LINE = /^([A-Z][A-Z-]*) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.[01]$/;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?$/;

/** Fields of a head that decide about its framing; null: unclear. */
interface Framing {
  readonly length: number;
  readonly isChunked: boolean;
  readonly hasKey: boolean;
  readonly isUpgrade: boolean;
}

function framingOf(lines: readonly string[]): Framing | null {
  let length = -1;
  let isChunked = false;
  let hasKey = false;
  let isUpgrade = false;
  for (const line of lines) {
    const [, name = "", value = ""] = FIELD.exec(line) ?? [];
    switch (name.toLowerCase()) {
      case "":
        return null; // folded line, white space before the colon, a control character
      case "content-length":
        if (!/^\d{1,15}$/.test(value) || (length >= 0 && length !== Number(value))) return null;
        length = Number(value);
        break;
      case "transfer-encoding":
        if (value.toLowerCase() !== "chunked" || isChunked) return null;
        isChunked = true;
        break;
      case "idempotency-key":
        hasKey = value !== "";
        break;
      case "upgrade":
        isUpgrade = true;
        break;
      default:
    }
  }
  if (isChunked && length >= 0) return null; // RFC 9112 6.1: a smuggler's head
  return { length: Math.max(length, 0), isChunked, hasKey, isUpgrade };
}

/** The end of a chunked body that begins at `at`: -1 incomplete, -2 unclear. */
function chunkedEnd(bytes: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at, "latin1");
    if (lineEnd < 0) return bytes.length - at > 1024 ? -2 : -1;
    const [, size] = CHUNK_LINE.exec(bytes.toString("latin1", at, lineEnd)) ?? [];
    if (size === undefined) return -2;
    at = lineEnd + 2;
    const chunkBytes = Number.parseInt(size, 16);
    if (chunkBytes === 0) break;
    at += chunkBytes;
    if (at + 2 > bytes.length) return -1;
    if (bytes[at] !== 13 || bytes[at + 1] !== 10) return -2;
    at += 2;
  }
  if (bytes.toString("latin1", at, at + 2) === "\r\n") return at + 2;
  const trailersEnd = bytes.indexOf("\r\n\r\n", at, "latin1");
  return trailersEnd < 0 ? -1 : trailersEnd + 4;
}

/** Empty lines before a request line are allowed (RFC 9112 2.2). */
function skipEmptyLines(bytes: Buffer, start: number): number {
  let at = start;
  while (bytes[at] === 13 && bytes[at + 1] === 10) at += 2;
  return at;
}

type Step = ScannedRequest | "unclear";

function scanOne(bytes: Buffer, start: number): Step {
  const headLimit = Math.min(bytes.length, start + HEAD_BYTES_MAX);
  const blank = bytes.subarray(0, headLimit).indexOf("\r\n\r\n", start, "latin1");
  if (blank < 0) {
    if (headLimit < bytes.length) return "unclear";
    const [method = "", target = ""] = bytes
      .toString("latin1", start, headLimit)
      .split(/[ \r\n]/, 2);
    const rest = { isSafe: false, isRepeatable: false, hasKey: false };
    return { start, headEnd: -1, end: -1, method, target, ...rest };
  }
  const [requestLine = "", ...fields] = bytes.toString("latin1", start, blank).split("\r\n");
  const [, method, target] = REQUEST_LINE.exec(requestLine) ?? [];
  const framing = framingOf(fields);
  if (method === undefined || target === undefined || framing === null) return "unclear";
  const headEnd = blank + 4;
  let end = framing.isChunked ? chunkedEnd(bytes, headEnd) : headEnd + framing.length;
  if (end === -2) return "unclear";
  if (end > bytes.length) end = -1;
  if (method === "CONNECT") return "unclear";
  return {
    start,
    headEnd,
    end,
    method,
    target,
    isSafe: SAFE.has(method),
    isRepeatable: IDEMPOTENT.has(method) || framing.hasKey,
    hasKey: framing.hasKey,
  };
}

/**
 * Finds the requests in `bytes`, which begin where a request begins.
 * @example
 * scanRequests(Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b")).requests.length; // 2
 */
export function scanRequests(bytes: Buffer): RequestScan {
  const requests: ScannedRequest[] = [];
  let at = skipEmptyLines(bytes, 0);
  while (at < bytes.length) {
    const step = scanOne(bytes, at);
    if (step === "unclear") return { requests, isClear: false };
    requests.push(step);
    if (step.end < 0) break;
    at = skipEmptyLines(bytes, step.end);
  }
  return { requests, isClear: true };
}
