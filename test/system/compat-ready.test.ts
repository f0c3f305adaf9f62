/** `process.send("ready")`: as a worker that listens on nothing says that it is ready. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { app } from "./support/paths.ts";
import { kill } from "./support/processes.ts";
import { startService } from "./support/service.ts";
import type { WorkerStatus } from "./support/status.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("ready.cjs");

describe("process.send('ready')", () => {
  it("makes a worker ready that listens on nothing", async (t) => {
    const service = await startService(t, { entry, env: { LISTEN: "0" }, early: true });
    for (const count of [1, 2]) {
      const isStarting = ({ state, pid }: WorkerStatus): boolean => state === "starting" && pid > 0;
      const { workers: before } = await service.waitForStatus(
        `worker ${count} starts`,
        ({ workers }) => workers.some(isStarting),
      );
      const worker = before.find(isStarting);
      assert.ok(worker !== undefined);
      await service.waitForOutput(`started ${worker.pid}`);
      const { workers } = await service.status();
      assert.equal(workers.find((each) => each.pid === worker.pid)?.state, "starting");
      kill(worker.pid, "SIGUSR2");
      await service.waitForOutput(`sent ${worker.pid} \n`);
      await service.waitForStatus(`${count} ready`, (status) => {
        return status.workers.filter((each) => each.state === "ready").length === count;
      });
    }
    await service.ready();
    assert.deepEqual(await service.stop(), { code: 0, signal: null });
  });

  it("is harmless from a worker that listens", async (t) => {
    const service = await startService(t, { entry });
    for (const pid of await service.workerPids()) kill(pid, "SIGUSR2");
    await waitFor("both have sent", () => service.stdout.match(/^sent \d+ $/gm)?.length === 2);
    assert.equal((await service.workerPids()).length, 2);
  });
});
