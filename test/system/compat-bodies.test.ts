/** Bodies under pressure: many at once, kept chunk by chunk, and readers that are slow. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { before, describe, it } from "node:test";
import { expectOk } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService, suiteOwner } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";

const BIG_BYTES = 200 * 100_000;

describe("bodies", () => {
  const owner = suiteOwner();
  let service: Service;
  let target: Target;

  before(async () => {
    service = await startService(owner, { entry: app("protocol.cjs"), workers: 1 });
    target = await service.target();
  });

  it("of many requests at once are not mixed, though their chunks are kept", async () => {
    const bodies = Array.from({ length: 8 }, () => randomBytes(1_000_000));
    const connections = await Promise.all(bodies.map(() => RawConnection.open(target)));
    for (const connection of connections) {
      connection.send("POST /digest HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\n");
    }
    for (let start = 0; start < 1_000_000; start += 50_000) {
      for (const [index, connection] of connections.entries()) {
        connection.send(bodies[index]?.subarray(start, start + 50_000) ?? "");
      }
      await Promise.all(connections.map((connection) => connection.drained()));
    }
    for (const [index, connection] of connections.entries()) {
      const expected = createHash("sha256").update(bodies[index] ?? "");
      assert.equal((await connection.readResponse()).text, expected.digest("hex"));
      connection.close();
    }
  });

  it("small ones, one after the other on many connections, arrive as they were sent", async () => {
    const connections = await Promise.all(
      Array.from({ length: 20 }, () => RawConnection.open(target)),
    );
    for (let round = 0; round < 20; round += 1) {
      // Every other one ends with an empty line, as a head does.
      const end = round % 2 === 0 ? "" : "\r\n\r\n";
      const bodies = connections.map((_, index) =>
        Buffer.concat([randomBytes(1 + 37 * index), Buffer.from(end)]),
      );
      for (const [index, connection] of connections.entries()) {
        connection.sendRequest("POST", "/digest", { body: bodies[index] ?? "" });
      }
      for (const [index, connection] of connections.entries()) {
        const expected = createHash("sha256").update(bodies[index] ?? "");
        assert.equal((await connection.readResponse()).text, expected.digest("hex"));
      }
    }
    for (const connection of connections) connection.close();
  });

  it("wait for a slow reader, and nobody else does", async () => {
    const slow = await RawConnection.open(target);
    slow.socket.pause();
    slow.sendRequest("GET", "/big");
    await service.waitForStatus("in flight", ({ workers }) => workers[0]?.inFlight === 1);
    const other = await RawConnection.open(target);
    for (let i = 0; i < 20; i += 1) await expectOk(other);
    other.close();
    slow.socket.resume();
    const { body } = await slow.readResponse();
    assert.equal(body.length, BIG_BYTES);
    for (let i = 0; i < 200; i += 1) {
      assert.ok(body.subarray(i * 100_000, (i + 1) * 100_000).every((byte) => byte === i));
    }
    await expectOk(slow);
    slow.close();
    await service.waitForStatus("nothing in flight", ({ workers }) => workers[0]?.inFlight === 0);
  });
});
