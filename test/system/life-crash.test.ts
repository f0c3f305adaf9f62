/** Workers that end are started again, with waits that grow, until that has no point any more. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("life.cjs");

/** A file that names the intensity, which only a configuration file can. */
function intensityFile(t: { after(hook: () => void): void }, restarts: number): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-life-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "holdfast.config.json");
  writeFileSync(file, JSON.stringify({ restartIntensity: { restarts, period: "60s" } }));
  return file;
}

/** Makes the worker that answers end; the request may be answered by nobody. */
async function endOne(service: Service, request: string): Promise<void> {
  const connection = await RawConnection.open(await service.target());
  connection.sendRequest("POST", request);
  await connection.waitForEnd();
  connection.close();
}

describe("a worker that ends", () => {
  for (const [request, lastExit] of [
    ["/exit?code=3", "exit 3"],
    ["/exit?code=0", "exit 0"],
    ["/kill?signal=SIGSEGV", "SIGSEGV"],
    ["/kill?signal=SIGKILL", "SIGKILL"],
  ] as const) {
    it(`by ${request} is started again, and status says why`, async (t) => {
      const service = await startService(t, { entry });
      await endOne(service, request);
      const status = await service.waitForStatus("restarted", ({ workers, totals }) => {
        return totals.restarts === 1 && workers.every(({ state }) => state === "ready");
      });
      assert.deepEqual(
        status.workers.map((worker) => worker.lastExit).filter((exit) => exit !== null),
        [lastExit],
      );
      assert.equal(status.state, "running");
      assert.equal((await get(await service.target())).status, 200);
    });
  }

  it("too often is given up, visibly, while the other one serves", async (t) => {
    const flags = ["--config", intensityFile(t, 2)];
    const service = await startService(t, { entry, flags });
    const [, victim] = (await service.status()).workers;
    assert.ok(victim);
    for (let deaths = 1; deaths <= 3; deaths += 1) {
      const { pid } = await waitFor("worker 1 is ready", async () => {
        const worker = (await service.status()).workers.find(({ index }) => index === 1);
        return worker?.state === "ready" && worker.restarts === deaths - 1 ? worker : undefined;
      });
      process.kill(pid, "SIGKILL");
    }
    const status = await service.waitForStatus("given up", ({ workers }) => {
      return workers.some(({ state }) => state === "failed");
    });
    assert.equal(status.state, "degraded");
    assert.match(status.notes.join(), /gave up on worker 1: more than 2 restarts in (1m|60s)/);
    assert.equal((await get(await service.target())).status, 200);
    const reload = await service.control("reload");
    assert.equal(reload.code, 0, reload.stderr.toString());
    const after = await service.waitForStatus("mended", ({ state }) => state === "running");
    assert.deepEqual(after.notes, []);
  });

  it("too often ends the run with 70 when it was the last one", async (t) => {
    const flags = ["--config", intensityFile(t, 0)];
    const service = await startService(t, { entry, flags, workers: 1 });
    await endOne(service, "/exit?code=1");
    assert.deepEqual(await service.end(), { code: 70, signal: null });
    assert.match(service.stderr, /no worker is left/);
  });
});
