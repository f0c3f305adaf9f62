/**
 * Corners of HTTP/1.1: byte for byte what plain node answers, but for the date. Each exchange ends
 * with the connection, so that the comparison includes how it ended.
 */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { send } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startPlain } from "./support/plain.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService, suiteOwner } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";

const LAST = "GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";

function request(method: string, path: string, ...lines: string[]): string {
  return [`${method} ${path} HTTP/1.1`, "host: t", ...lines, "", ""].join("\r\n");
}

const CHUNKED = "transfer-encoding: chunked";

/** What is sent at once; all of it is answered, then the server ends the connection. */
const exchanges: Record<string, string> = {
  "ten pipelined requests": request("GET", "/").repeat(10) + LAST,
  "pipelined requests of different length":
    request("POST", "/length", "content-length: 5") + "12345" + request("GET", "/empty") + LAST,
  HEAD: request("HEAD", "/") + LAST,
  "204 and 304": request("GET", "/empty") + request("GET", "/not-modified") + LAST,
  "103 and 102": request("GET", "/hints") + request("GET", "/processing") + LAST,
  "trailers of a response": request("GET", "/trailers") + LAST,
  "trailers of a request":
    request("POST", "/length", CHUNKED) + "3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n" + LAST,
  "chunk extensions": request("POST", "/length", CHUNKED) + "3;a=b\r\nabc\r\n0\r\n\r\n" + LAST,
  "a body larger than one read":
    request("POST", "/length", "content-length: 200000") + "x".repeat(200_000) + LAST,
  "a body that is not read":
    request("POST", "/early", "content-length: 200000") + "x".repeat(200_000) + LAST,
  "several cookies and a status text": request("GET", "/cookies") + LAST,
  "corked writes": request("GET", "/corked") + LAST,
  "every kind of write": request("GET", "/mixed").repeat(3) + LAST,
  "an expectation that is none": request("GET", "/", "expect: miracles") + LAST,
  "empty lines before a request": `\r\n\r\n${request("GET", "/")}\r\n${LAST}`,
  "HTTP/1.0": "GET / HTTP/1.0\r\n\r\n",
  "HTTP/1.0 that keeps alive": `GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n${LAST}`,
  "100-continue, body at once":
    request("POST", "/length", "expect: 100-continue", "content-length: 3") + "abc" + LAST,
  CONNECT: `${request("CONNECT", "example.com:443")}early bytes`,
};

describe("HTTP/1.1 as plain node speaks it", () => {
  const owner = suiteOwner();
  let service: Service;
  let target: Target;
  let plain: Target;

  before(async () => {
    service = await startService(owner, { entry: app("protocol.cjs") });
    target = await service.target();
    plain = await startPlain(owner, app("protocol.cjs"));
  });

  for (const [name, bytes] of Object.entries(exchanges)) {
    it(name, async () => {
      const expected = await exchange(plain, bytes);
      assert.match(expected, /^HTTP\/1\.1 \d/);
      assert.equal(await exchange(target, bytes), expected);
    });
  }

  it("100-continue: the body is sent when it was asked for", async () => {
    const connection = await RawConnection.open(target);
    for (let i = 0; i < 3; i += 1) {
      connection.send(request("POST", "/length", "expect: 100-continue", "content-length: 4"));
      assert.equal((await connection.readBytes(25)).toString(), "HTTP/1.1 100 Continue\r\n\r\n");
      connection.send("body");
      assert.equal((await connection.readResponse()).text, "4 {}");
    }
    connection.close();
  });

  it("a body that arrives in pieces, head included", async () => {
    const connection = await RawConnection.open(target);
    const bytes = request("POST", "/length", "content-length: 12");
    for (const part of [bytes.slice(0, 7), bytes.slice(7, 40), bytes.slice(40), "123", "456"]) {
      connection.send(part);
      await connection.drained();
    }
    connection.send("789012");
    assert.equal((await connection.readResponse()).text, "12 {}");
    connection.close();
  });

  it("an upgraded connection echoes, with the bytes that came with the request", async () => {
    const connection = await RawConnection.open(target);
    connection.send(`${request("GET", "/", "connection: upgrade", "upgrade: echo")}early`);
    assert.equal((await connection.readHead()).status, 101);
    assert.equal((await connection.readBytes(5)).toString(), "early");
    connection.send("late");
    assert.equal((await connection.readBytes(4)).toString(), "late");
    connection.halfClose();
    assert.equal(await connection.waitForEnd(), "fin");
  });

  it("bytes that the application keeps are not overwritten by what comes after", async () => {
    const upgraded = await RawConnection.open(target);
    const head = "first\r\n\r\n";
    upgraded.send(`${request("GET", "/late", "connection: upgrade", "upgrade: echo")}${head}`);
    await upgraded.readHead();
    const broken = await RawConnection.open(target);
    const packet = "BROKEN REQUEST\r\n\r\n";
    broken.send(packet);
    for (let i = 0; i < 20; i += 1) {
      assert.equal((await send(target, "GET", "/cookies")).status, 418);
    }
    upgraded.send("x".repeat(100));
    assert.equal(await upgraded.waitForEnd(), "fin");
    assert.equal(upgraded.unread.toString(), head);
    assert.equal((await broken.readHead()).status, 400);
    assert.equal((await broken.readBody())?.toString(), packet);
    upgraded.close();
    broken.close();
  });

  it("leaves nothing in flight", async () => {
    await service.waitForStatus("nothing in flight", ({ workers }) =>
      workers.every(({ connections, inFlight }) => connections === 0 && inFlight === 0),
    );
  });
});

async function exchange(target: Target, bytes: string): Promise<string> {
  const connection = await RawConnection.open(target);
  connection.send(bytes);
  const ended = await connection.waitForEnd();
  const answer = connection.unread.toString("latin1").replaceAll(/Date: .*\r\n/g, "");
  connection.close();
  return `${answer} (${ended})`;
}
