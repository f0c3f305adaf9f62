/** Orphans that workers leave behind are waited for, as pid 1 of a container must. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { processState } from "./support/processes.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

it("an orphan of a worker's does not stay a zombie", async (t) => {
  const service = await startService(t, { entry: app("life.cjs") });
  const { text } = await get(await service.target(), "/orphan");
  const pid = Number(text);
  assert.ok(pid > 0 && processState(pid) !== undefined, text);
  await waitFor("it is gone", () => processState(pid) === undefined);
  assert.equal((await service.status()).state, "running");
});
