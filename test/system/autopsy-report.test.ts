/** `report`: one file that tells the incident, and keeps secrets. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { describe, it } from "node:test";
import { inPosition, makeCore, startPatient, until } from "./support/autopsy.ts";
import { CLI, ROOT, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";

const STUCK = path.join(ROOT, "examples/autopsy/stuck.js");

describe("a report of a stuck service", () => {
  it("tells the suspended work and the requests, and masks secrets", async (t) => {
    // the patient inherits them
    Object.assign(process.env, {
      PORT: "0",
      BILLING_TOKEN: "t0psecret",
      CACHE_URL: "redis://me:hunter2@cache",
      SHOP_REGION: "<north>",
    });
    const patient = startPatient(t, 24, [STUCK, "--db-password", "swordfish"]);
    await inPosition(patient, { line: "listening on" });
    const port = Number(/listening on (\d+)/.exec(patient.output())?.[1]);
    for (let count = 0; count < 2; count += 1) {
      const response = await fetch(`http://127.0.0.1:${port}/bad`);
      assert.equal(response.status, 404);
    }
    const request = http.get({
      host: "127.0.0.1",
      port,
      path: "/order?a=1&token=pass",
      agent: false,
    });
    request.on("error", () => undefined); // the service is killed while it hangs
    t.after(() => request.destroy());
    const core = path.join(patient.folder, `core.${patient.pid}`);
    const html = path.join(patient.folder, "incident.html");
    let text = "";
    const check = async (): Promise<boolean> => {
      makeCore(patient);
      const made = await autopsy(core, "report", "-o", html);
      assert.equal(made.code, 0, made.stderr.toString());
      text = readFileSync(html, "utf8");
      return text.includes("/order?");
    };
    let isThere = false;
    const checking = (async (): Promise<void> => {
      while (!isThere) isThere = await check();
    })();
    await Promise.race([checking, until("the request is there", () => isThere)]);
    assert.match(text, /idle, waiting for events/);
    assert.match(text, /<td class="text">acquire<\/td>/);
    assert.match(text, /\/order\?a=1&amp;token=\*\*\*/);
    assert.match(text, /&lt;north&gt;/);
    assert.doesNotMatch(text, /t0psecret|hunter2|swordfish|token=pass/);
    assert.equal(statSync(html).mode & 0o777, 0o600);

    const nowhere = path.join(patient.folder, "no/such/folder/incident.html");
    const failed = await autopsy(core, "report", "-o", nowhere);
    assert.equal(failed.code, 73, failed.stderr.toString());
    assert.match(failed.stderr.toString(), /ERR_HOLDFAST_AUTOPSY_WRITE|Cannot write/);
    assert.ok(!existsSync(nowhere));
    assert.deepEqual(
      readdirSync(patient.folder).filter((name) => name.includes("partial")),
      [],
    );
    const unnamed = await autopsy(core, "report");
    assert.equal(unnamed.code, 64, unnamed.stderr.toString());
    const misplaced = await autopsy(core, "threads", "-o", html);
    assert.equal(misplaced.code, 64, misplaced.stderr.toString());
    assert.match(misplaced.stderr.toString(), /threads does not know --output/);
  });
});

function autopsy(...args: readonly string[]): ReturnType<typeof run> {
  return run(nodeBinary(), ["--", CLI, "autopsy", ...args]);
}
