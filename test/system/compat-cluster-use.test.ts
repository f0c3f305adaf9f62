/**
 * An application written for node:cluster runs its worker part in each worker, and forks nothing.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { distinctAnswers } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";

interface About {
  pid: number;
  id: number;
}

describe("an application that uses node:cluster", () => {
  it("serves as worker, with cluster.worker as it knows it", async (t) => {
    const service = await startService(t, { entry: app("uses-cluster.cjs") });
    const answers = await distinctAnswers(await service.target(), 2);
    const abouts = [...answers].map((text) => JSON.parse(text) as About);
    const pids = await service.workerPids();
    assert.deepEqual(new Set(abouts.map(({ pid }) => pid)), new Set(pids));
    assert.equal(new Set(abouts.map(({ id }) => id)).size, 2);
    for (const { pid, id, ...rest } of abouts) {
      assert.ok(id > 0, `id of ${pid}`);
      assert.deepEqual(rest, {
        isWorker: true,
        samePid: true,
        dead: false,
        connected: true,
        exited: null,
        emitter: "function",
      });
    }
    assert.doesNotMatch(service.stdout, /primary/);
  });
});
