/** `--memory-limit`: a worker that holds too much is replaced before the kernel would act. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { get, openIdle } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";

const GROWTH_MIB = 200;

it("the largest worker is replaced, and its connections move", async (t) => {
  const service = await startService(t, {
    entry: app("life.cjs"),
    flags: ["--memory-limit", "256MiB"],
  });
  const target = await service.target();
  const idle = await openIdle(target, 10);
  const { text } = await get(target, `/grow?mib=${GROWTH_MIB}`);
  const status = await service.waitForStatus("replaced", ({ workers, state }) => {
    return state === "running" && workers.every(({ pid }) => pid !== Number(text));
  });
  const lastExits = status.workers.map(({ lastExit }) => lastExit ?? "");
  assert.match(lastExits.join(), /memory limit/);
  for (const connection of idle) {
    assert.equal((await connection.request("GET", "/")).status, 200);
    connection.close();
  }
  assert.match(service.stderr, /holds too much memory; its replacement starts/);
});

it("each worker's heap has a limit that fits", async (t) => {
  const service = await startService(t, {
    entry: app("life.cjs"),
    flags: ["--memory-limit", "512MiB"],
  });
  const { workers } = await service.status();
  for (const worker of workers) {
    assert.ok(worker.heapLimitBytes > 100 * 2 ** 20, String(worker.heapLimitBytes));
    assert.ok(2 * worker.heapLimitBytes < 512 * 2 ** 20);
  }
});
