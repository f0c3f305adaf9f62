/** Portable mode serves: both workers, status, logs, and no more than docs/portable.md says. */
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { distinctAnswers } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";

const flags = ["--portable"];

describe("portable mode", () => {
  it("serves from both workers, and says so", async (t) => {
    const service = await startService(t, { entry: app("http.cjs"), flags });
    const pids = await service.workerPids();
    const answers = await distinctAnswers(await service.target(), 2);
    assert.deepEqual(answers, new Set(pids.map(String)));
    const status = await service.waitForStatus("requests counted", ({ totals }) => {
      return (totals["requests"] ?? 0) >= 2;
    });
    assert.deepEqual(
      [status.mode, status.pid, status.reactorPid, status.generation, status.state],
      ["portable", service.pid, service.pid, 1, "running"],
    );
    assert.equal(status.listeners.length, 1);
    const shown = await service.control("status", "--json");
    assert.equal(shown.code, 0);
    assert.equal((JSON.parse(shown.stdout.toString()) as typeof status).mode, "portable");
    assert.equal(statSync(service.socketPath).mode & 0o777, 0o600);
    assert.deepEqual(await service.stop(), { code: 0, signal: null });
  });

  it("knows the requests in flight and the oldest of them", async (t) => {
    const service = await startService(t, { entry: app("http.cjs"), flags, workers: 1 });
    const connection = await RawConnection.open(await service.target());
    connection.sendRequest("GET", "/slow?ms=1500");
    const { workers } = await service.waitForStatus("in flight", ({ workers }) => {
      return workers.some((worker) => worker.inFlight === 1 && worker.connections === 1);
    });
    assert.equal(workers.length, 1);
    assert.equal((await connection.readResponse()).status, 200);
    connection.close();
    await service.waitForStatus("no longer", ({ workers }) => {
      return workers.every((worker) => worker.inFlight === 0 && worker.connections === 0);
    });
  });

  it("writes the same log as the keeper", async (t) => {
    const service = await startService(t, { entry: app("listen.cjs"), args: ["[0]"], flags });
    const shown = await service.control("logs", "--json");
    assert.equal(shown.code, 0, shown.stderr.toString());
    const file = readFileSync(path.join(service.runtimeDir, `${service.name}.log`), "utf8");
    for (const text of [shown.stdout.toString(), file]) {
      assert.match(text, /"source":"worker","pid":\d+,"worker":1,"stream":"stdout"/);
      assert.match(
        text,
        /"source":"keeper","level":"info","stream":"log","line":"holdfast: worker/,
      );
    }
  });

  it("refuses a name that is in use, and takes it over from one that was killed", async (t) => {
    const entry = app("http.cjs");
    const first = await startService(t, { entry, flags });
    const same = { entry, flags, name: first.name, runtimeDir: first.runtimeDir };
    const second = await startService(t, { ...same, early: true });
    assert.equal((await second.exited).code, 69);
    assert.match(second.stderr, new RegExp(`process ${first.pid} runs one of that name`));
    assert.equal((await first.status()).state, "running");
    first.signal("SIGKILL");
    await first.exited;
    const third = await startService(t, same);
    assert.equal((await third.status()).pid, third.pid);
    await third.stop();
  });
});
