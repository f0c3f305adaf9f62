/** The deaths of the reactor and of the keeper. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClosedLoops, get, openIdle } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { kill } from "./support/processes.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("life.cjs");

describe("a reactor that is killed", () => {
  it("is followed by one that adopts workers and connections, and no request fails", async (t) => {
    const service = await startService(t, { entry });
    const target = await service.target();
    const before = await service.status();
    const idle = await openIdle(target, 20);
    const loops = new ClosedLoops(target, 8);
    await loops.progress(50);
    for (let deaths = 1; deaths <= 2; deaths += 1) {
      const { reactorPid } = await service.status();
      kill(reactorPid, "SIGKILL");
      await service.waitForStatus("the next one", (status) => {
        return status.reactorRestarts === deaths && status.state === "running";
      });
      await loops.progress(50);
    }
    const { failures } = await loops.stop();
    assert.deepEqual(failures, []);
    for (const connection of idle) {
      assert.equal((await connection.request("GET", "/")).status, 200);
      connection.close();
    }
    const after = await service.status();
    assert.deepEqual(
      after.workers.map(({ pid }) => pid),
      before.workers.map(({ pid }) => pid),
    );
  });

  it("because it hangs is followed by one, and no request fails", async (t) => {
    const service = await startService(t, { entry });
    const loops = new ClosedLoops(await service.target(), 4);
    await loops.progress(50);
    const { reactorPid } = await service.status();
    kill(reactorPid, "SIGSTOP"); // as a loop without end would
    await waitFor("the keeper says so", () => /no answer for 10 s/.test(service.stderr), 60_000);
    await service.waitForStatus("the next one", (status) => {
      return status.reactorRestarts === 1 && status.state === "running";
    });
    await loops.progress(50);
    assert.deepEqual((await loops.stop()).failures, []);
  });

  it("leaves the number of workers and the generation as they were changed to", async (t) => {
    const service = await startService(t, { entry });
    assert.equal((await service.control("reload")).code, 0);
    assert.equal((await service.control("scale", "3")).code, 0);
    const { reactorPid } = await service.status();
    kill(reactorPid, "SIGKILL");
    const status = await service.waitForStatus("the next one", ({ reactorRestarts, state }) => {
      return reactorRestarts === 1 && state === "running";
    });
    assert.equal(status.workers.length, 3);
    assert.equal(status.generation, 2);
  });

  it("does not make forgotten who died meanwhile", async (t) => {
    const service = await startService(t, { entry });
    const { reactorPid, workers } = await service.status();
    const target = await service.target();
    kill(reactorPid, "SIGKILL");
    for (const { pid } of workers) kill(pid, "SIGKILL");
    await service.waitForStatus("all are back", (status) => {
      const isNew = status.workers.every(({ pid }) => !workers.some((old) => old.pid === pid));
      return isNew && status.state === "running";
    });
    assert.equal((await get(target)).status, 200);
  });

  it("while the service stops does not keep it from stopping", async (t) => {
    const service = await startService(t, { entry });
    const connection = await RawConnection.open(await service.target());
    connection.sendRequest("GET", "/slow?ms=1500");
    await service.waitForStatus("in flight", (status) => {
      return status.workers.some(({ inFlight }) => inFlight === 1);
    });
    const { reactorPid } = await service.status();
    service.signal("SIGTERM");
    await service.waitForStatus("stopping", ({ state }) => state === "stopping");
    kill(reactorPid, "SIGKILL");
    assert.equal((await connection.readResponse()).status, 200);
    assert.deepEqual(await service.end(), { code: 0, signal: null });
  });
});

describe("a keeper that is killed", () => {
  it("leaves workers that finish what they have, print it to nobody, and end", async (t) => {
    const service = await startService(t, { entry });
    const target = await service.target();
    const connection = await RawConnection.open(target);
    connection.sendRequest("POST", "/slow?ms=1500&print=1");
    await service.waitForStatus("in flight", ({ workers }) => {
      return workers.some(({ inFlight }) => inFlight === 1);
    });
    kill(service.pid, "SIGKILL");
    assert.equal((await connection.readResponse()).status, 200);
    await waitFor("nothing is left", () => service.leftPids().length === 0);
    await assert.rejects(get(target), "and nobody listens any more");
  });
});
