/** A worker of `holdfast run` under autopsy: the ledger tells the ages of its requests. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { readLedger } from "../../src/autopsy/graph/ledger.ts";
import { lookLive, makeCore, program, until } from "./support/autopsy.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";

describe("the ledger of a worker", () => {
  it("is read from the process and from its core, with methods, targets and ages", async (t) => {
    const entry = program("ledger-service.cjs");
    const flags = ["--stall-limit", "60s", "--drain-timeout", "500ms"];
    const service = await startService(t, { entry, workers: 1, flags });
    const { workers } = await service.waitForStatus("it serves", (status) => {
      return status.workers.every(({ state }) => state === "ready");
    });
    const pid = workers[0]?.pid ?? 0;
    const target = await service.target();
    const connections = [];
    for (const [method, url] of [
      ["GET", "/slow?id=1"],
      ["POST", "/orders"],
      ["GET", "/spin"],
    ] as const) {
      const connection = await RawConnection.open(target);
      t.after(() => connection.close());
      connection.sendRequest(method, url);
      connections.push(connection);
      await until(`${url} is in flight`, () => {
        const account = lookLive(pid, (_, live) => readLedger(live));
        return account?.requests.some((one) => one.target === url) === true;
      });
    }
    const folder = mkdtempSync(path.join(os.tmpdir(), "autopsy-ledger-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const core = makeCore({ pid, folder });
    const live = lookLive(pid, (_, process) => readLedger(process));
    const session = await Session.open(core, { node: null, tracer: null, environment: {} });
    t.after(() => session.close());
    const dead = readLedger(session.target);
    for (const account of [live, dead]) {
      assert.equal(account?.areAgesExact, true);
      assert.deepEqual(
        account.requests.map(({ method, target: url }) => `${method} ${url}`),
        ["GET /slow?id=1", "POST /orders", "GET /spin"], // the oldest first
      );
      for (const { ageMs, state } of account.requests) {
        assert.equal(state, "busy");
        assert.ok(ageMs !== null && ageMs >= 0 && ageMs < 120_000, String(ageMs));
      }
    }
    const result = await runExpression(session, parseExpression("requests"), undefined);
    assert.ok(result.kind === "table");
    const [url, age, since, source] = ["url", "age", "since", "source"].map((name) =>
      result.columns.findIndex((column) => column.name === name),
    );
    const slow = result.rows.find((row) => row[url ?? -1] === "/slow?id=1");
    assert.equal(slow?.[source ?? -1], "server, ledger");
    assert.equal(typeof slow[age ?? -1], "number");
    assert.equal(slow[since ?? -1], "first byte");
    assert.match(result.remarks.join("\n"), /^worker 0 \(id \d+\) of Holdfast: 3 connections, /u);
  });
});
