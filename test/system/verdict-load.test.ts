/** Workers die again and again under load, and no request fails. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { ClosedLoops } from "./support/load.ts";
import { kill } from "./support/processes.ts";
import { VerdictService } from "./support/verdict.ts";
import { waitFor } from "./support/wait.ts";

const KILLS = 20;

it("eight closed loops of GET and twenty dead workers: no request fails", async (t) => {
  const world = await VerdictService.start(t, { workers: 4 });
  const loops = new ClosedLoops(world.target, 8);
  for (let count = 0; count < KILLS; count += 1) {
    await loops.progress(100);
    // a worker that has died often waits before it comes again: each has its turn
    const victim = await waitFor("two workers that are ready", async () => {
      const ready = (await world.service.status()).workers.filter(({ state }) => state === "ready");
      return ready.length >= 2 && ready.toSorted((a, b) => a.restarts - b.restarts)[0];
    });
    kill(victim.pid, "SIGKILL");
  }
  await loops.progress(100);
  const { requests, failures, reconnects } = await loops.stop();
  assert.deepEqual(failures, [], world.service.describe());
  assert.equal(reconnects, 0, "and no connection was lost");
  assert.ok(requests > 20 * KILLS, `${requests}`);
  const { totals } = await world.service.status();
  assert.equal(totals["aborted"], 0);
  assert.equal(totals["refused"], 0);
});
