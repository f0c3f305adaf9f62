import assert from "node:assert/strict";
import { fstatSync } from "node:fs";
import { describe, it } from "node:test";
import { connect } from "../../test/support/loopback.ts";
import { waitUntil } from "../../test/support/wait-until.ts";
import { LINGER_BYTES_MAX, LINGER_MS, Refusals, refusalBytes } from "./refusal.ts";

const DATE = "Sun, 06 Nov 1994 08:49:37 GMT";

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

describe("the bytes of a refusal", () => {
  it("are a whole response that says when to try again, and that the connection ends", () => {
    const text = refusalBytes(503, "Grüße.", false, DATE).toString();
    assert.equal(
      text,
      [
        "HTTP/1.1 503 Service Unavailable",
        `Date: ${DATE}`,
        "Content-Type: text/plain; charset=utf-8",
        "Content-Length: 9",
        "Retry-After: 1",
        "Connection: close",
        "",
        "Grüße.\n",
      ].join("\r\n"),
    );
  });

  it("to a HEAD have the same head and no body", () => {
    const whole = refusalBytes(502, "Why.", false, DATE).toString();
    const head = refusalBytes(502, "Why.", true, DATE).toString();
    assert.match(head, /^HTTP\/1\.1 502 Bad Gateway\r\n.*\r\n\r\n$/s);
    assert.equal(whole, `${head}Why.\n`);
  });

  it("of a request of death do not ask to try again", () => {
    const text = refusalBytes(500, "Why.", false, DATE).toString();
    assert.match(text, /^HTTP\/1\.1 500 Internal Server Error\r\n/);
    assert.doesNotMatch(text, /Retry-After/);
    assert.match(text, /\r\nConnection: close\r\n/);
  });
});

describe("a refused connection", () => {
  const response = refusalBytes(503, "Why.", false, DATE);

  it("ends when the peer ends, after all that it still sends", async (t) => {
    const refusals = new Refusals();
    t.after(() => refusals.destroy());
    const { fd, client } = await connect(t);
    let ends = 0;
    refusals.end(fd, response, () => (ends += 1));
    await client.endsWith("fin");
    assert.equal(client.text, response.toString());
    client.send(Buffer.alloc(1_000_000));
    await waitUntil("everything is read", () => client.socket.writableLength === 0);
    assert.equal(ends, 0);
    client.socket.end();
    await waitUntil("the end", () => ends === 1);
    assert.equal(isOpen(fd), false);
    assert.equal(client.ended, "fin");
  });

  it("whose peer resets it is closed", async (t) => {
    const refusals = new Refusals();
    const { fd, client } = await connect(t);
    let ends = 0;
    refusals.end(fd, response, () => (ends += 1));
    await client.endsWith("fin");
    client.socket.resetAndDestroy();
    await waitUntil("the end", () => ends === 1);
    assert.equal(isOpen(fd), false);
  });

  it("whose peer sends without end is closed", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] }); // it is not the time that ends it
    const refusals = new Refusals();
    const { fd, client } = await connect(t);
    client.socket.on("error", () => undefined);
    let ends = 0;
    refusals.end(fd, response, () => (ends += 1));
    const bytes = Buffer.alloc(1 << 20);
    let sent = 0;
    await waitUntil("the end", () => {
      if (client.socket.writableLength === 0 && ends === 0) {
        client.socket.write(bytes);
        sent += bytes.length;
      }
      return ends === 1;
    });
    assert.ok(sent > LINGER_BYTES_MAX, `${sent}`);
    assert.equal(isOpen(fd), false);
  });

  it("whose peer says nothing is closed after a while", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const refusals = new Refusals();
    const { fd } = await connect(t);
    let ends = 0;
    refusals.end(fd, response, () => (ends += 1));
    t.mock.timers.tick(LINGER_MS - 1);
    assert.equal(ends, 0);
    t.mock.timers.tick(1);
    assert.equal(ends, 1);
    assert.equal(isOpen(fd), false);
  });

  it("is closed at once when the reactor ends; twice is no error", async (t) => {
    const refusals = new Refusals();
    const { fd } = await connect(t);
    let ends = 0;
    refusals.end(fd, response, () => (ends += 1));
    refusals.destroy();
    refusals.destroy();
    assert.equal(ends, 1);
    assert.equal(isOpen(fd), false);
  });
});
