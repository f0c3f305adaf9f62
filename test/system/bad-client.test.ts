/**
 * Clients that send garbage, never finish, or go half way: each gets what plain node gives it,
 * nobody else notices, no worker dies, and no connection stays behind in the accounts.
 */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { ClosedLoops, expectOk, get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startPlain } from "./support/plain.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService, suiteOwner } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";

const HEAD = "GET /fine HTTP/1.1\r\nhost: test\r\n";

/** Bytes that are sent at once, after which the server answers and ends the connection. */
const garbage: Record<string, string | Buffer> = {
  "no HTTP at all": "hello there\r\n\r\n",
  "binary bytes": Buffer.from(Array.from({ length: 512 }, (_, i) => (i * 7) % 256)),
  "a TLS hello": Buffer.from("1603010200010001fc0303", "hex"),
  "a header without a colon": `${HEAD}broken header\r\n\r\n`,
  "a head larger than node takes": `${HEAD}x: ${"x".repeat(40_000)}\r\n\r\n`,
  "two lengths":
    "POST /fine HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
  "a chunk size that is none":
    "POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  "no host": "GET /fine HTTP/1.1\r\n\r\n",
  "a good request and then garbage": `${HEAD}\r\nGARBAGE\r\n\r\n`,
  "an unknown version": "GET / HTTP/7.3\r\nhost: t\r\n\r\n",
};

/** What is sent before the client goes. */
const halves: Record<string, string> = {
  nothing: "",
  "half a request line": "GET /sl",
  "half a head": "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-le",
  "a head and half a body": "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhalf",
  "half a chunk": "POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf",
  "a request that is being answered": "GET /slow HTTP/1.1\r\nhost: test\r\n\r\n",
  "a request and half of the next": `${HEAD}\r\nGET /sl`,
};

describe("bad clients", () => {
  const owner = suiteOwner();
  let service: Service;
  let target: Target;
  let plain: Target;
  let pids: number[];

  before(async () => {
    const entry = app("tolerant.cjs");
    service = await startService(owner, { entry });
    target = await service.target();
    pids = await service.workerPids();
    plain = await startPlain(owner, entry);
  });

  for (const [name, bytes] of Object.entries(garbage)) {
    it(`who send ${name} get what plain node gives them`, async () => {
      const expected = await everything(plain, bytes);
      assert.deepEqual(await everything(target, bytes), expected);
    });
  }

  for (const [name, bytes] of Object.entries(halves)) {
    it(`who go after ${name} disturb nobody`, async () => {
      const loops = new ClosedLoops(target, 2, "/fine");
      for (const leave of ["close", "reset", "halfClose"] as const) {
        const connections = await Promise.all(
          Array.from({ length: 10 }, () => RawConnection.open(target)),
        );
        for (const connection of connections) connection.send(bytes);
        await loops.progress(5);
        for (const connection of connections) connection[leave]();
        await loops.progress(5);
        for (const connection of connections) connection.close();
      }
      assert.deepEqual((await loops.stop()).failures, []);
      await nothingLeft(service);
    });
  }

  it("who send a request byte by byte get their answer", async () => {
    const connection = await RawConnection.open(target);
    for (const byte of `${HEAD}\r\n`) {
      connection.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await connection.readResponse()).status, 200);
    connection.close();
  });

  it("who never finish a head are ended by the application's timeout", async () => {
    const waiting = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open(target)));
    for (const connection of waiting) connection.send("GET / HTTP/1.1\r\nhost: te");
    for (const connection of waiting) {
      assert.equal((await connection.readResponse()).status, 408);
      assert.equal(await connection.waitForEnd(), "fin");
      connection.close();
    }
  });

  it("leave the workers alive and the accounts empty", async () => {
    await nothingLeft(service);
    assert.deepEqual(await service.workerPids(), pids);
    const connection = await RawConnection.open(target);
    await expectOk(connection, "/fine");
    connection.close();
    assert.equal((await get(target, "/fine")).status, 200);
  });
});

/** Sends bytes and returns all that comes back until the end, without the date. */
async function everything(target: Target, bytes: string | Buffer): Promise<string> {
  const connection = await RawConnection.open(target);
  connection.send(bytes);
  const ended = await connection.waitForEnd();
  const answer = connection.unread.toString("latin1").replaceAll(/Date: .*\r\n/g, "");
  connection.close();
  // An RST may overtake the answer where unread bytes were left: then only the end counts.
  return ended === "rst" ? "rst" : `${answer} (${ended})`;
}

async function nothingLeft(service: Service): Promise<void> {
  await service.waitForStatus("no connection and nothing in flight", ({ workers }) => {
    return workers.every(({ connections, inFlight }) => connections === 0 && inFlight === 0);
  });
}
