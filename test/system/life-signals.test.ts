/** Signals to the keeper: the first ends the run in order, a second one at once. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, it } from "node:test";
import { app } from "./support/paths.ts";
import { kill } from "./support/processes.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";

const entry = app("life.cjs");

describe("signals", () => {
  for (const [signal, code] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    it(`a second ${signal} ends everything at once with ${code}`, async (t) => {
      const service = await startService(t, { entry });
      const connection = await RawConnection.open(await service.target());
      connection.sendRequest("GET", "/slow?ms=20000");
      await service.waitForStatus("in flight", ({ workers }) => {
        return workers.some(({ inFlight }) => inFlight === 1);
      });
      service.signal(signal);
      await service.waitForStatus("stopping", ({ state }) => state === "stopping");
      service.signal(signal);
      assert.deepEqual(await service.end(5_000), { code, signal: null });
      connection.close();
    });
  }

  it("a second signal works although the reactor hangs", async (t) => {
    const service = await startService(t, { entry });
    const { reactorPid } = await service.status();
    kill(reactorPid, "SIGSTOP");
    service.signal("SIGINT");
    service.signal("SIGTERM");
    // Both may be pending when the keeper runs: the kernel chooses which of them it takes first.
    const { code, signal } = await service.end(5_000);
    const second = /a second signal \((\w+)\)/.exec(service.describe())?.[1];
    assert.deepEqual({ code, signal }, { code: second === "SIGINT" ? 130 : 143, signal: null });
    assert.ok(second !== undefined, service.describe());
  });

  it("a worker that ignores SIGTERM is killed after the grace period", async (t) => {
    const service = await startService(t, { entry, env: { IGNORE_SIGTERM: "1" }, workers: 1 });
    service.signal("SIGTERM");
    assert.deepEqual(await service.end(), { code: 0, signal: null });
    assert.match(service.stdout, /SIGTERM ignored/);
  });

  it("holdfast stop ends the run with 0", async (t) => {
    const service = await startService(t, { entry });
    const stop = await service.control("stop");
    assert.equal(stop.code, 0, stop.stderr.toString());
    assert.deepEqual(await service.end(), { code: 0, signal: null });
    assert.equal(existsSync(service.socketPath), false);
  });
});
