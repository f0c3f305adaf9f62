import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { scanRequests } from "./request-scan.ts";

/** A request as it is generated: its bytes, and what the scanner has to say about it. */
interface Sample {
  readonly head: string;
  readonly body: string;
  readonly method: string;
  readonly target: string;
  readonly hasKey: boolean;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SAFE = ["GET", "HEAD", "OPTIONS", "TRACE"];
const METHODS = [...SAFE, "PUT", "DELETE", "POST", "PATCH", "QUERY", "M-SEARCH"];
/** Fields that decide about framing or repeating: they come from the generator only. */
const RESERVED = ["content-length", "transfer-encoding", "idempotency-key"];

const visible = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 12,
});
const fieldName = fc
  .stringMatching(TOKEN)
  .filter((name) => name.length < 20 && !RESERVED.includes(name.toLowerCase()));
const field = fc
  .tuple(fieldName, visible, fc.constantFrom("", " ", "\t", "  "))
  .map(([name, value, space]) => `${name}:${space}${value}${space}`);
const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 40,
});

function cased(name: string): fc.Arbitrary<string> {
  return fc.constantFrom(name, name.toLowerCase(), name.toUpperCase());
}

/** A body with the field that frames it. */
const plainBody = fc
  .tuple(latin1, cased("Content-Length"))
  .map(([body, name]) => ({ field: [`${name}: ${body.length}`], body }));
const noBody = fc.constant({ field: [] as string[], body: "" });
const chunk = fc
  .tuple(latin1, fc.constantFrom("", ";a", ";a=b", ' ;a="q"'))
  .filter(([data]) => data.length > 0)
  .map(([data, extension]) => `${data.length.toString(16)}${extension}\r\n${data}\r\n`);
const chunkedBody = fc
  .tuple(
    fc.array(chunk, { maxLength: 4 }),
    fc.array(field, { maxLength: 2 }),
    cased("Transfer-Encoding"),
    cased("chunked"),
    fc.constantFrom("0", "000"),
  )
  .map(([chunks, trailers, name, coding, zero]) => ({
    field: [`${name}: ${coding}`],
    body: `${chunks.join("")}${zero}\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`,
  }));

const request: fc.Arbitrary<Sample> = fc
  .record({
    method: fc.constantFrom(...METHODS),
    target: visible.map((text) => `/${text}`),
    version: fc.constantFrom("1.0", "1.1"),
    fields: fc.array(field, { maxLength: 3 }),
    key: fc.option(fc.stringMatching(/^[a-z0-9]{1,8}$/), { nil: null }),
    payload: fc.oneof(noBody, plainBody, chunkedBody),
  })
  .map(({ method, target, version, fields, key, payload }) => {
    const lines = [...fields, ...(key === null ? [] : [`Idempotency-Key: ${key}`])];
    const start = `${method} ${target} HTTP/${version}`;
    const head = `${[start, ...lines, ...payload.field].join("\r\n")}\r\n\r\n`;
    return { head, body: payload.body, method, target, hasKey: key !== null };
  });

/** Empty lines may stand before a request line. */
const pipeline = fc.array(fc.tuple(fc.constantFrom("", "", "\r\n", "\r\n\r\n"), request), {
  minLength: 1,
  maxLength: 4,
});

function expected(sample: Sample, start: number, length: number): object {
  const headEnd = start + sample.head.length;
  const end = headEnd + sample.body.length;
  const isSafe = SAFE.includes(sample.method);
  const isIdempotent = isSafe || ["PUT", "DELETE"].includes(sample.method);
  return {
    start,
    headEnd,
    end: end <= length ? end : -1,
    method: sample.method,
    target: sample.target,
    isSafe,
    isRepeatable: isIdempotent || sample.hasKey,
    hasKey: sample.hasKey,
  };
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function scan(text: string): ReturnType<typeof scanRequests> {
  return scanRequests(bytesOf(text));
}

describe("the scanner of requests", () => {
  it("finds every request of any pipeline", () => {
    fc.assert(
      fc.property(pipeline, (samples) => {
        const text = samples.map(([gap, { head, body }]) => gap + head + body).join("");
        let at = 0;
        const all = samples.map(([gap, sample]) => {
          const start = at + gap.length;
          at = start + sample.head.length + sample.body.length;
          return expected(sample, start, text.length);
        });
        assert.deepEqual(scan(text), { requests: all, isClear: true });
      }),
    );
  });

  it("knows at every byte what is whole, which body is in part, and which head", () => {
    fc.assert(
      fc.property(pipeline, fc.double({ min: 0, max: 1, noNaN: true }), (samples, fraction) => {
        const text = samples.map(([gap, { head, body }]) => gap + head + body).join("");
        const cut = Math.floor(fraction * text.length);
        checkPrefix(samples, text, cut);
      }),
      { numRuns: 200 },
    );
  });

  it("knows it at each byte of a corpus", () => {
    for (const [name, samples] of Object.entries(CORPUS)) {
      const text = samples.map(([gap, { head, body }]) => gap + head + body).join("");
      for (let cut = 0; cut <= text.length; cut += 1) {
        assert.doesNotThrow(() => checkPrefix(samples, text, cut), `${name}, cut at ${cut}`);
      }
    }
  });

  it("never throws, and never looks behind the bytes that it was given", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const { requests } = scanRequests(Buffer.from(bytes));
        for (const { headEnd, end } of requests) assert.ok(Math.max(headEnd, end) <= bytes.length);
      }),
    );
  });

  it("never throws on a request of which some bytes were changed", () => {
    const change = fc.tuple(fc.nat({ max: 400 }), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(pipeline, fc.array(change, { maxLength: 4 }), (samples, changes) => {
        const bytes = bytesOf(samples.map(([gap, { head, body }]) => gap + head + body).join(""));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        let last = 0;
        for (const { start, headEnd, end } of scanRequests(bytes).requests) {
          assert.ok(start >= last && (headEnd < 0 || headEnd > start), "in order, and not empty");
          last = Math.max(headEnd, end);
          assert.ok(last <= bytes.length);
        }
      }),
    );
  });
});

/** What the scanner has to say when only `cut` bytes of a pipeline have come. */
function checkPrefix(
  samples: readonly (readonly [string, Sample])[],
  text: string,
  cut: number,
): void {
  const { requests, isClear } = scan(text.slice(0, cut));
  assert.equal(isClear, true);
  let at = 0;
  let index = 0;
  for (const [gap, sample] of samples) {
    const start = at + gap.length;
    const headEnd = start + sample.head.length;
    at = headEnd + sample.body.length;
    // a lone CR of an empty line may yet become the beginning of a request: it is a head in part
    if (cut <= start) break;
    const found = requests[index];
    index += 1;
    if (cut < headEnd) {
      assert.deepEqual([found?.start, found?.headEnd, found?.end], [start, -1, -1]);
      assert.equal(found?.isRepeatable, false);
      return;
    }
    assert.deepEqual(found, expected(sample, start, cut));
    if (cut < at) return;
  }
  const rest = requests.slice(index);
  assert.ok(rest.length === 0 || (rest.length === 1 && rest[0]?.headEnd === -1));
}

function sample(head: string, body = "", hasKey = false): Sample {
  const [method = "", target = ""] = head.split(" ");
  return { head, body, method, target, hasKey };
}

const GET = sample("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
const CORPUS: Record<string, [string, Sample][]> = {
  "a GET": [["", GET]],
  "empty lines, then two requests": [
    ["\r\n\r\n", GET],
    ["\r\n", sample("HEAD / HTTP/1.0\r\n\r\n")],
  ],
  "a body": [
    ["", sample("PUT /x HTTP/1.1\r\nContent-Length: 4\r\n\r\n", "\r\n\r\n")],
    ["", GET],
  ],
  "a body that looks like a request": [
    ["", sample("POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n", "GET / HTTP/1.1\r\n\r\n")],
    ["", GET],
  ],
  "a chunked body with extensions and trailers": [
    [
      "",
      sample(
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nIdempotency-Key: k\r\n\r\n",
        "3;a=b\r\nabc\r\nA ;q\r\n0\r\n\r\n12345\r\n0\r\nX-Sum: 3\r\nX-More: 4\r\n\r\n",
        true,
      ),
    ],
    ["", GET],
  ],
  "a chunked body of nothing": [
    ["", sample("DELETE / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n")],
    ["", GET],
  ],
};

describe("bytes that the scanner does not vouch for", () => {
  const head = (...lines: string[]): string =>
    [`POST /x HTTP/1.1`, "Host: h", ...lines, "", ""].join("\r\n");
  const chunked = (body: string): string => head("Transfer-Encoding: chunked") + body;
  const shapes: Record<string, string> = {
    "two lengths": head("Content-Length: 3", "Content-Length: 4") + "abcd",
    "a length and chunks": head("Content-Length: 3", "Transfer-Encoding: chunked") + "0\r\n\r\n",
    "chunks and a length": head("Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n",
    "chunked twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n",
    "another coding": head("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n",
    "a coding that is almost chunked": head("Transfer-Encoding: xchunked") + "0\r\n\r\n",
    identity: head("Transfer-Encoding: identity") + "abc",
    "a length with a sign": head("Content-Length: +3") + "abc",
    "a negative length": head("Content-Length: -3") + "abc",
    "a hexadecimal length": head("Content-Length: 0x3") + "abc",
    "a list of lengths": head("Content-Length: 3, 3") + "abc",
    "an empty length": head("Content-Length:"),
    "a length beyond all numbers": head(`Content-Length: ${"9".repeat(30)}`) + "abc",
    "white space before the colon": head("Content-Length : 3") + "abc",
    "a folded line": head("X: a", " b"),
    "a folded length": head("Content-Length:", " 3") + "abc",
    "a bare LF in the head": head("X: a\nContent-Length: 3") + "abc",
    "a bare CR in the head": head("X: a\rContent-Length: 3") + "abc",
    "a field without a name": head(": a"),
    "a field without a colon": head("X"),
    "a name with a control character": head("X\u0001: a"),
    "a name with a zero": head("Content-Length\u0000: 3") + "abc",
    "a lower-case method": head().replace("POST", "post"),
    "no target": "GET HTTP/1.1\r\n\r\n",
    "two spaces in the request line": "GET  / HTTP/1.1\r\n\r\n",
    "HTTP/0.9": "GET /\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": "GET / RTSP/1.0\r\n\r\n",
    CONNECT: "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a chunk size that is none": chunked("x\r\n\r\n"),
    "a chunk size with a sign": chunked("+3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size with 0x": chunked("0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size before a bare LF": chunked("3\nabc\r\n0\r\n\r\n"),
    "a chunk size that is too long": chunked(`${"0".repeat(13)}3\r\nabc\r\n0\r\n\r\n`),
    "a chunk that is longer than its size": chunked("3\r\nabcd\r\n0\r\n\r\n"),
    "a chunk extension without an end": chunked(`3;${"x".repeat(2000)}`),
  };
  for (const [name, text] of Object.entries(shapes)) {
    it(name, () => {
      assert.deepEqual(scan(text), { requests: [], isClear: false });
      const after = scan(`GET /first HTTP/1.1\r\n\r\n${text}`);
      assert.equal(after.isClear, false);
      assert.deepEqual(
        after.requests.map(({ target }) => target),
        ["/first"],
      );
    });
  }

  it("a head that does not end within all bounds", () => {
    assert.equal(scan(`GET / HTTP/1.1\r\nX: ${"a".repeat(300 * 1024)}`).isClear, false);
  });

  it("a length stated twice alike is one length", () => {
    const text = head("Content-Length: 3", "content-length: 3") + "abc";
    assert.equal(scan(text).requests[0]?.end, text.length);
  });

  it("an Idempotency-Key without a value is none", () => {
    assert.equal(scan(head("Idempotency-Key: ")).requests[0]?.isRepeatable, false);
    assert.equal(scan(head("Idempotency-Key: a")).requests[0]?.isRepeatable, true);
  });
});
