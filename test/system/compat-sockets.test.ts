/**
 * What an application does to a connection reaches the client at once, although another process
 * holds a descriptor of it: `destroy()`, `end()`, `resetAndDestroy()`, and every timeout of
 * `http.Server`. Nobody who was not meant to have the connection keeps it open.
 */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { expectOk, get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { kill } from "./support/processes.ts";
import { IncompleteError, RawConnection } from "./support/raw-client.ts";
import { readyPids, startService, suiteOwner } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";

/** Longer than the application's timeouts, shorter than anything of ours that could end it. */
const SOON_MS = 5_000;
/** How long the application spins: less than the stall limit. */
const SPIN_MS = 3_500;

describe("a connection that the application ends", () => {
  const owner = suiteOwner();
  let service: Service;
  let target: Target;

  before(async () => {
    service = await startService(owner, { entry: app("sockets.cjs") });
    target = await service.target();
  });

  const endings = [
    ["/destroy", "fin"],
    ["/reset", "rst"],
    ["/timeout", "fin"],
  ] as const;
  for (const [path, ended] of endings) {
    it(`${path}: the client sees ${ended} at once`, async () => {
      const connection = await RawConnection.open(target);
      await expectOk(connection);
      connection.sendRequest("GET", path);
      assert.equal(await connection.waitForEnd(SOON_MS), ended);
      assert.equal(connection.unread.length, 0);
      connection.close();
    });
  }

  it("in the middle of a response: the client sees what was written, then the end", async () => {
    const connection = await RawConnection.open(target);
    connection.sendRequest("GET", "/destroy-half");
    await connection.readHead();
    assert.equal((await connection.readBody())?.toString(), "half");
    await assert.rejects(connection.readBody(SOON_MS), IncompleteError);
    connection.close();
  });

  for (const path of ["/end", "/end-socket"]) {
    it(`${path}: the whole response, then FIN`, async () => {
      const connection = await RawConnection.open(target);
      assert.equal((await connection.request("GET", path)).status, 200);
      assert.equal(await connection.waitForEnd(SOON_MS), "fin");
      connection.close();
    });
  }

  it("a child process of the application does not keep the connection", async () => {
    const connection = await RawConnection.open(target);
    const child = Number((await connection.request("GET", "/spawn")).text);
    try {
      assert.equal(await connection.waitForEnd(SOON_MS), "fin");
    } finally {
      kill(child, "SIGKILL");
    }
    connection.close();
  });

  it("keepAliveTimeout ends an idle connection", async () => {
    const connection = await RawConnection.open(target);
    await expectOk(connection);
    assert.equal(await connection.waitForEnd(SOON_MS), "fin");
    connection.close();
  });

  it("headersTimeout ends a head that is never finished", async () => {
    const connection = await RawConnection.open(target);
    connection.send("GET / HTTP/1.1\r\nhost: te");
    assert.equal((await connection.readResponse(SOON_MS)).status, 400);
    assert.equal(await connection.waitForEnd(SOON_MS), "fin");
    await service.waitForOutput("clientError ERR_HTTP_REQUEST_TIMEOUT");
    connection.close();
  });

  it("a client that half closes after its request gets its response", async () => {
    const connection = await RawConnection.open(target);
    connection.sendRequest("GET", "/");
    connection.halfClose();
    assert.equal((await connection.readResponse()).status, 200);
    assert.equal(await connection.waitForEnd(SOON_MS), "fin");
  });

  it("destroyed by a worker that then spins: the client does not wait for the loop", async () => {
    const connection = await RawConnection.open(target);
    connection.sendRequest("GET", "/destroy-spin");
    assert.equal(await connection.waitForEnd(SPIN_MS / 2), "fin");
    connection.close();
  });

  it("destroyed by a worker that then dies: the client sees the end, not another try", async () => {
    const { totals } = await service.status();
    const connection = await RawConnection.open(target);
    const pid = Number((await expectOk(connection)).text);
    connection.sendRequest("GET", "/destroy-die");
    await connection.waitForEnd(SOON_MS);
    assert.equal(connection.unread.length, 0);
    connection.close();
    const after = await service.waitForStatus("the dead worker is replaced", (status) => {
      const pids = readyPids(status);
      return pids.length === 2 && !pids.includes(pid);
    });
    assert.equal(after.totals["replayed"], totals["replayed"]);
  });

  it("leaves no connection in the status", async () => {
    assert.equal((await get(target)).status, 200);
    await service.waitForStatus("no connection", ({ workers }) =>
      workers.every((worker) => worker.connections === 0),
    );
  });
});

describe("keepAliveTimeout of a loop that is late", () => {
  for (const node of [22, 24, 26] as const) {
    it(`does not close away a request that has arrived, Node ${node}`, async (t) => {
      const service = await startService(t, { entry: app("sockets.cjs"), workers: 1, node });
      const target = await service.target();
      const [waiting, spinning] = [
        await RawConnection.open(target),
        await RawConnection.open(target),
      ];
      t.after(() => [waiting, spinning].forEach((each) => each.close()));
      await expectOk(waiting);
      assert.equal((await spinning.request("GET", "/spin")).text, "spins");
      // the loop reads it after its timers, and keepAliveTimeout is over by then
      assert.equal((await waiting.request("GET", "/")).status, 200);
      assert.equal((await service.status()).totals["moved"], 1);
      assert.equal(await waiting.waitForEnd(SOON_MS), "fin", "it ends when nothing comes");
    });
  }
});
