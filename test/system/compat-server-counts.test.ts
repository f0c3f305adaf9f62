/** `getConnections()` and `maxConnections` count the connections of one worker. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { expectOk, get, openIdle } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

describe("connections that a server counts", () => {
  it("getConnections() goes up and down with the clients", async (t) => {
    const service = await startService(t, { entry: app("listen-actions.cjs"), workers: 1 });
    const target = await service.target();
    const [first, ...others] = await openIdle(target, 10);
    assert.ok(first !== undefined);
    assert.equal((await expectOk(first, "/count")).text, "10");
    for (const [index, connection] of others.entries()) {
      if (index % 2 === 0) connection.close();
      else connection.reset();
    }
    await waitFor("count 1", async () => (await expectOk(first, "/count")).text === "1");
    await service.waitForStatus("one connection", ({ workers }) => workers[0]?.connections === 1);
    first.close();
    await service.waitForStatus("no connection", ({ workers }) => workers[0]?.connections === 0);
  });

  it("maxConnections keeps a worker from taking more, and is no limit for ever", async (t) => {
    const service = await startService(t, {
      entry: app("listen-actions.cjs"),
      env: { MAX_CONNECTIONS: "2" },
    });
    const target = await service.target();
    const kept = await openUntil(4, target);
    const perWorker = new Map<string, number>();
    for (const { connection, pid } of kept) {
      perWorker.set(pid, (perWorker.get(pid) ?? 0) + 1);
      await expectOk(connection);
    }
    assert.deepEqual([...perWorker.values()], [2, 2]);
    // One more than fits: it may wait or be ended, but nobody serves it.
    const fifth = await RawConnection.open(target);
    fifth.sendRequest("GET", "/");
    for (const { connection } of kept) {
      for (let i = 0; i < 5; i += 1) await expectOk(connection);
      assert.equal(Number((await expectOk(connection, "/count")).text), 2);
    }
    assert.equal(fifth.unread.length, 0);
    fifth.close();
    for (const { connection } of kept) connection.close();
    await waitFor("served again", async () => (await get(target)).status === 200);
  });
});

interface Kept {
  readonly connection: RawConnection;
  readonly pid: string;
}

/** Opens kept connections one after the other until so many were served. */
async function openUntil(
  count: number,
  target: Parameters<typeof RawConnection.open>[0],
): Promise<Kept[]> {
  const kept: Kept[] = [];
  await waitFor(`${count} connections served`, async () => {
    const connection = await RawConnection.open(target);
    connection.sendRequest("GET", "/");
    try {
      const { text } = await connection.readResponse(2_000);
      kept.push({ connection, pid: text });
    } catch {
      connection.close(); // Over the limit of the worker that it came to: try again.
    }
    return kept.length >= count;
  });
  return kept;
}
