/** An application that survives its own exceptions goes on in the same process. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { expectOk } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";

describe("an application with an uncaughtException handler", () => {
  it("keeps its process and its connections", async (t) => {
    const service = await startService(t, { entry: app("uncaught.cjs") });
    const pids = await service.workerPids();
    const connection = await RawConnection.open(await service.target());
    const { text } = await expectOk(connection);
    assert.equal((await expectOk(connection, "/throw")).text, text);
    await service.waitForOutput("caught thrown uncaughtException");
    assert.equal((await expectOk(connection, "/reject")).text, text);
    await service.waitForOutput("unhandled rejected");
    assert.equal((await expectOk(connection)).text, text);
    connection.close();
    assert.deepEqual(await service.workerPids(), pids);
  });
});
