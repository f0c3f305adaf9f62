/** Server-sent events: a reader stays through a reload until the drain deadline. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EventReader, get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { DRAIN_TIMEOUT_MS, reloadWithStayingClient } from "./support/reload.ts";
import { startService } from "./support/service.ts";

const flags = ["--drain-timeout", `${DRAIN_TIMEOUT_MS}ms`];

describe("server-sent events through a reload", () => {
  for (const entry of ["http.cjs", "express.cjs", "fastify.mjs"]) {
    it(`of ${entry}: the reader stays until the drain deadline`, async (t) => {
      const service = await startService(t, { entry: app(entry), flags });
      const target = await service.target();
      const reader = await EventReader.open(target);
      await reader.next(1);
      const { before, after } = await reloadWithStayingClient(service, {
        exchange: async () => {
          await reader.next(5);
          assert.ok(reader.isOpen);
        },
        ended: reader.ended,
      });
      const pids = new Set(reader.events.map((event) => Number(event.split(" ")[1])));
      assert.equal(pids.size, 1, "one worker served the stream to its end");
      assert.ok(before.includes([...pids][0] ?? 0));
      reader.close();
      assert.ok(after.includes(Number((await get(target)).text)));
    });
  }

  it("a reload is over as soon as the reader has gone", async (t) => {
    const long = ["--drain-timeout", "60s"];
    const service = await startService(t, { entry: app("http.cjs"), flags: long });
    const before = await service.workerPids();
    const reader = await EventReader.open(await service.target());
    await reader.next(1);
    const reload = service.control("reload");
    await service.waitForStatus("a new generation", ({ workers }) =>
      workers.some((worker) => worker.state === "ready" && !before.includes(worker.pid)),
    );
    await reader.next(3);
    reader.close();
    assert.equal((await reload).code, 0);
    await service.waitForStatus("the old generation is gone", ({ workers }) =>
      workers.every((worker) => !before.includes(worker.pid)),
    );
  });
});
