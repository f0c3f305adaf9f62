import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ResponseReader } from "./response-reader.ts";

const COUNTED = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED =
  "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n" +
  "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: t\r\n\r\n";
const CONTINUED = `HTTP/1.1 100 Continue\r\n\r\n${COUNTED}`;

function read(text: string): ResponseReader {
  const reader = new ResponseReader();
  reader.push(Buffer.from(text));
  return reader;
}

describe("ResponseReader", () => {
  it("reads a response wherever its bytes are cut, and leaves what is behind it", () => {
    const cuts = fc.uniqueArray(fc.nat({ max: 150 }), { maxLength: 12 });
    const texts = fc.constantFrom(COUNTED, CHUNKED, CONTINUED);
    const property = fc.property(texts, cuts, fc.string({ maxLength: 9 }), (text, at, rest) => {
      const bytes = Buffer.from(text + rest);
      const reader = new ResponseReader();
      const edges = [0, ...at.filter((cut) => cut < bytes.length), bytes.length];
      const sorted = edges.toSorted((a, b) => a - b);
      for (const [i, start] of sorted.slice(0, -1).entries()) {
        reader.push(bytes.subarray(start, sorted[i + 1]));
      }
      assert.equal(reader.isComplete, true);
      assert.equal(reader.response.text, "hello");
      assert.equal(reader.status, text === CHUNKED ? 503 : 200);
      assert.equal(reader.rest.toString(), rest);
    });
    fc.assert(property);
  });

  it("is not complete one byte before the end", () => {
    for (const text of [COUNTED, CHUNKED, CONTINUED]) {
      const reader = read(text.slice(0, -1));
      assert.equal(reader.isComplete, false);
      assert.equal(reader.hasBegun, true);
      reader.end();
      assert.equal(reader.isComplete, false);
    }
  });

  it("takes the end of the connection as the end of a body without a length", () => {
    const reader = read("HTTP/1.1 200 OK\r\n\r\nhello");
    assert.equal(reader.isComplete, false);
    reader.end();
    assert.equal(reader.isComplete, true);
    assert.equal(reader.response.text, "hello");
  });

  it("has not begun without a byte", () => {
    const reader = new ResponseReader();
    reader.end();
    assert.equal(reader.hasBegun, false);
    assert.equal(reader.isComplete, false);
  });

  it("calls anything else garbage", () => {
    const texts = ["200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello"];
    for (const text of texts) assert.equal(read(text).isGarbage, true, text);
    const chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert.equal(read(`${chunk}2\r\nhello\r\n`).isGarbage, true);
    assert.equal(read(`${chunk}x\r\n`).isGarbage, true);
  });
});
