/** What workers write: passed on, kept in the log, and never a reason for the service to stop. */
import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { spawn } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { CLI, app, nodeBinary } from "./support/paths.ts";
import { cleanEnvironment } from "./support/run.ts";
import { makeRuntimeDir, startService } from "./support/service.ts";
import { waitFor, within } from "./support/wait.ts";

const entry = app("life.cjs");

describe("output", () => {
  it("goes to the stream that it was written to, and into the log", async (t) => {
    const service = await startService(t, { entry });
    const target = await service.target();
    await get(target, "/print?text=first%20words");
    await service.waitForOutput("first words\n");
    await waitFor("stderr too", () => service.stderr.includes("error first words\n"));
    const { stdout } = await service.control("logs", "--json");
    const records = stdout.toString().trimEnd().split("\n");
    const own = records
      .map((line) => JSON.parse(line) as Record<string, unknown>) // records of the log
      .filter(({ source }) => source === "worker");
    assert.deepEqual(
      own.map(({ stream, line }) => `${String(stream)} ${String(line)}`).toSorted(),
      ["stderr error first words", "stdout first words"],
    );
    for (const { time, worker, pid } of own) {
      assert.ok(Date.parse(String(time)) > Date.now() - 60_000);
      assert.ok([0, 1].includes(Number(worker)) && Number(pid) > 0);
    }
  });

  it("that nobody reads any more does not end the service", async (t) => {
    const service = await startService(t, { entry });
    service.closeOutput();
    const target = await service.target();
    for (let count = 0; count < 3; count += 1) {
      assert.equal((await get(target, "/print?text=unheard")).status, 200);
    }
    const { stdout } = await service.control("logs");
    assert.match(stdout.toString(), /unheard/);
    assert.equal((await service.status()).state, "running");
  });

  it("and a full disk costs log lines, not the service", async (t) => {
    const runtimeDir = makeRuntimeDir();
    t.after(() => rmSync(runtimeDir, { recursive: true, force: true }));
    symlinkSync("/dev/full", path.join(runtimeDir, "full.log"));
    const service = await startService(t, { entry, runtimeDir, name: "full" });
    assert.equal((await get(await service.target(), "/print?text=lost")).status, 200);
    await service.waitForOutput("lost");
    await waitFor("it is said", () => /cannot write the log .*ENOSPC/.test(service.stderr));
    assert.deepEqual(await service.stop(), { code: 0, signal: null });
  });

  it("of a script into a file is complete although it ends by process.exit", async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "hf-output-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, "out");
    const fd = openSync(file, "w");
    const args = [CLI, "run", "--name", "script", app("scripts/output.cjs"), "exit"];
    const env = cleanEnvironment({ HOLDFAST_RUNTIME_DIR: folder });
    const child = spawn(nodeBinary(), args, { env, stdio: ["ignore", fd, "ignore"] });
    closeSync(fd);
    const code = await within("end", new Promise((resolve) => void child.on("exit", resolve)));
    assert.equal(code, 0);
    assert.equal(readFileSync(file).length, 8000 * 256 + "no newline at the end".length);
  });
});
