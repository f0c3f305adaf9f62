/** The application's own SIGTERM handler runs, once in each worker, on stop and on reload. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { distinctAnswers, get, openIdle } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";

const entry = app("sigterm.cjs");

describe("an application that handles SIGTERM", () => {
  it("cleans up before the service has stopped", async (t) => {
    const service = await startService(t, { entry });
    await distinctAnswers(await service.target(), 2);
    const pids = await service.workerPids();
    assert.deepEqual(await service.stop(), { code: 0, signal: null });
    for (const pid of pids) assertCleanedUp(service, pid);
  });

  it("finishes the request in flight while it stops", async (t) => {
    const service = await startService(t, { entry, env: { DELAY_MS: "500" } });
    const connection = await RawConnection.open(await service.target());
    connection.sendRequest("GET", "/");
    await service.waitForStatus("in flight", ({ workers }) => {
      return workers.some((worker) => worker.inFlight === 1);
    });
    const stopped = service.stop();
    assert.equal((await connection.readResponse()).status, 200);
    assert.equal(await connection.waitForEnd(), "fin");
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });

  it("cleans up after a reload, when its connections have gone to the new worker", async (t) => {
    const service = await startService(t, { entry });
    const target = await service.target();
    const idle = await openIdle(target, 10);
    const pids = await service.workerPids();
    assert.equal((await service.control("reload")).code, 0);
    await service.waitForStatus("the old generation is gone", ({ workers }) => {
      return workers.every((worker) => !pids.includes(worker.pid));
    });
    for (const pid of pids) assertCleanedUp(service, pid);
    for (const connection of idle) {
      assert.equal((await connection.request("GET", "/")).status, 200);
      connection.close();
    }
    assert.equal((await get(target)).status, 200);
  });
});

function assertCleanedUp(service: Service, pid: number): void {
  const lines = service.stdout.split("\n").filter((line) => line.split(" ")[1] === String(pid));
  assert.deepEqual(lines, [`signal ${pid} SIGTERM 15`, `clean ${pid}`], service.describe());
}
