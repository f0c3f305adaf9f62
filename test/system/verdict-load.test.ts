/** Workers die again and again under load, and no request fails that can be saved. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClosedLoops, get } from "./support/load.ts";
import { kill } from "./support/processes.ts";
import { VerdictService } from "./support/verdict.ts";
import { waitFor } from "./support/wait.ts";

const KILLS = 20;

/** Kills a worker; each has its turn, since one that has died often waits before it comes again. */
async function killOne(world: VerdictService): Promise<void> {
  const victim = await waitFor("two workers that are ready", async () => {
    const ready = (await world.service.status()).workers.filter(({ state }) => state === "ready");
    return ready.length >= 2 && ready.toSorted((a, b) => a.restarts - b.restarts)[0];
  });
  kill(victim.pid, "SIGKILL");
}

it("eight closed loops of GET and twenty dead workers: no request fails", async (t) => {
  const world = await VerdictService.start(t, { workers: 4 });
  const loops = new ClosedLoops(world.target, 8);
  for (let count = 0; count < KILLS; count += 1) {
    await loops.progress(100);
    await killOne(world);
  }
  await loops.progress(20);
  const { failures, reconnects } = await loops.stop();
  assert.deepEqual(failures, [], world.service.describe());
  assert.equal(reconnects, 0, "and no connection was lost");
  const { totals } = await world.service.status();
  assert.deepEqual([totals["aborted"], totals["refused"]], [0, 0]);
});

/**
 * How many connections a kill may cost: a worker that accepts for itself may be killed between the
 * end of accept(2) and the beginning of sendmsg(2) (docs/recovery.md).
 */
const LOST_PER_KILL = { reactor: 0, kernel: 1 } as const;
/** The end of a connection without a byte of an answer. */
const LOST = /connection ended \((?:rst|fin)\) after 0 bytes/;

describe("a new connection for each GET, and twenty dead workers", () => {
  for (const accept of ["reactor", "kernel"] as const) {
    const promise = accept === "reactor" ? "no request fails" : "at most one a kill fails";
    it(`--accept ${accept}: ${promise}`, async (t) => {
      const world = await VerdictService.start(t, { workers: 4, flags: ["--accept", accept] });
      const failures: string[] = [];
      const over = new AbortController();
      let answered = 0;
      const loops = Array.from({ length: 16 }, async () => {
        while (!over.signal.aborted) {
          try {
            const { status } = await get(world.target);
            if (status !== 200) failures.push(`status ${status}`);
          } catch (error) {
            failures.push(String(error));
          }
          answered += 1;
        }
      });
      for (let count = 0; count < KILLS; count += 1) {
        const goal = answered + 150;
        await waitFor("150 answers", () => answered >= goal);
        await killOne(world);
      }
      over.abort();
      await Promise.all(loops);
      const lost = failures.filter((failure) => LOST.test(failure));
      assert.deepEqual(failures, lost, world.service.describe());
      assert.ok(lost.length <= KILLS * LOST_PER_KILL[accept], lost.join("\n"));
      const { totals } = await world.service.status();
      assert.ok((totals["aborted"] ?? 0) <= lost.length, "no answer in part");
    });
  }
});
