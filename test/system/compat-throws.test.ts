/** What an application throws while a connection is brought to it is thrown, as under Node. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";

const entry = app("throws.cjs");

describe("an application that throws", () => {
  for (const node of [22, 24, 26] as const) {
    it(`in the handler of a request, also of one that is repeated, Node ${node}`, async (t) => {
      const service = await startService(t, { entry, node });
      const target = await service.target();
      assert.equal((await get(target, "/throw")).status, 500);
      const status = await service.waitForStatus("both have died", ({ workers }) =>
        workers.every(({ restarts }) => restarts === 1),
      );
      assert.equal(status.totals["replayed"], 1);
      assert.equal((await get(target)).status, 200);
    });

    it(`in a listener of connection, and goes on, Node ${node}`, async (t) => {
      const env = { THROWS: "connection" };
      const service = await startService(t, { entry, node, env });
      assert.equal((await get(await service.target())).status, 200);
      await service.waitForOutput("caught: in connection");
    });
  }

  it("in a listener of connection that accepts by itself", async (t) => {
    const env = { THROWS: "connection" };
    const flags = ["--accept", "kernel"];
    const service = await startService(t, { entry, flags, env });
    assert.equal((await get(await service.target())).status, 200);
    await service.waitForOutput("caught: in connection");
  });
});
