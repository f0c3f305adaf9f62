/** The descriptor limit is reached: accepting pauses, nothing dies, the status says so. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { expectOk } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const LIMIT = 160;
/** More than any process of the service may hold under that limit. */
const CLIENTS = 300;

describe("at the descriptor limit", () => {
  it("accepting pauses and goes on, and nobody who was accepted is lost", async (t) => {
    const service = await startService(t, { entry: app("http.cjs"), descriptorLimit: LIMIT });
    const target = await service.target();
    const pids = await service.workerPids();
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, () => RawConnection.open(target)),
    );
    for (const client of clients) client.sendRequest("GET", "/");
    const paused = await service.waitForStatus("accepting pauses", ({ state }) => {
      return state === "accept-paused";
    });
    assert.ok(
      paused.notes.some((note) => /descriptor/.test(note)),
      JSON.stringify(paused.notes),
    );
    const answered = await waitFor("some are served", () => {
      const served = clients.filter((client) => client.unread.length > 0);
      return served.length >= 40 && served;
    });
    // all at once: the application closes what is idle for 5 s
    const again = answered.map(async (client) => {
      assert.equal((await client.readResponse()).status, 200);
      await expectOk(client);
    });
    await Promise.all(again);
    const waiting = clients.filter((client) => !answered.includes(client));
    assert.ok(waiting.length > 0, "some wait");
    for (const client of answered) client.close();
    // As clients go, those that wait are accepted: each gets its answer in the end.
    for (const client of waiting) {
      assert.equal((await client.readResponse()).status, 200);
      client.close();
    }
    await service.waitForStatus("accepting again", ({ state }) => state === "running");
    assert.deepEqual(await service.workerPids(), pids, "no worker has died");
  });

  it("a worker that makes no progress there costs nobody: the reactor has some left", async (t) => {
    const service = await startService(t, {
      entry: app("http.cjs"),
      descriptorLimit: LIMIT,
      workers: 1,
    });
    const target = await service.target();
    const spinning = await RawConnection.open(target);
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, () => RawConnection.open(target)),
    );
    await service.waitForStatus("accepting pauses", ({ state }) => state === "accept-paused");
    // it is looked at, by /proc and by a process of its own
    spinning.sendRequest("GET", "/spin?ms=2000");
    await waitFor("a look at it", () => service.stderr.includes("makes no progress"));
    for (const client of clients) client.sendRequest("GET", "/");
    const answers = clients.map(async (client) => {
      const { status } = await client.readResponse();
      client.close();
      return status;
    });
    assert.deepEqual(new Set(await Promise.all(answers)), new Set([200]));
    spinning.close(); // it is never answered
    assert.equal((await service.status()).reactorRestarts, 0, service.describe());
  });

  it("a request that is repeated waits where there is no room for its connection", async (t) => {
    const service = await startService(t, { entry: app("http.cjs") });
    const target = await service.target();
    const client = await RawConnection.open(target);
    const pid = Number((await client.request("GET", "/")).body);
    const other = (await service.workerPids()).find((each) => each !== pid) ?? 0;
    execFileSync("prlimit", ["--pid", String(other), "--nofile=3:"]);
    client.sendRequest("GET", "/slow?ms=300");
    await service.waitForStatus("it is in flight", ({ workers }) =>
      workers.some(({ inFlight }) => inFlight === 1),
    );
    process.kill(pid, "SIGKILL");
    const response = await client.readResponse();
    assert.equal(response.status, 200);
    assert.equal((await service.status()).totals["replayed"], 1);
    client.close();
  });
});
