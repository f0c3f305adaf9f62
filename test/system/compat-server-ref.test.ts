/** `server.unref()`: a server that keeps no process alive does not keep a worker alive either. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { app, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";
import { startService } from "./support/service.ts";

const entry = app("unref.cjs");

describe("server.ref() and unref()", () => {
  it("plain node ends with an unreferenced server", async () => {
    const { code, stdout } = await run(nodeBinary(), [entry], { env: {} });
    assert.equal(code, 0);
    assert.match(stdout.toString(), /^timer \d+\nexit \d+ 0\n$/);
  });

  it("a worker ends with an unreferenced server: nothing of ours keeps it alive", async (t) => {
    const service = await startService(t, { entry, workers: 1, early: true });
    await service.waitForOutput(/^exit \d+ 0$/m);
  });

  it("a worker stays when the server is referenced again", async (t) => {
    const service = await startService(t, { entry, workers: 1, env: { MODE: "ref" } });
    await service.waitForOutput(/^timer \d+$/m);
    const target = await service.target();
    assert.equal((await get(target)).status, 200);
    assert.doesNotMatch(service.stdout, /^exit/m);
  });
});
