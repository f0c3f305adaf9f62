/** Reload: a new version that does not become ready changes nothing; one that does replaces all. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";

const entry = app("life.cjs");

function folderFor(t: { after(hook: () => void): void }): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-reload-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

describe("reload", () => {
  for (const [how, expected] of [
    ["throw", /the new version cannot start/],
    ["exit", /exit 17/],
    ["hang", /was not ready within 700ms/],
    ["spin", /new worker 0 stalled; the old one stays/],
  ] as const) {
    it(`to a version that does ${how} leaves the old one alone and says why`, async (t) => {
      const folder = folderFor(t);
      const [file, config] = [path.join(folder, "broken"), path.join(folder, "hf.config.json")];
      const readyWithin = (readyTimeout: string): void =>
        writeFileSync(config, JSON.stringify({ readyTimeout }));
      readyWithin("20s");
      const env = { BREAKS_WITH: file };
      const flags = ["--config", config, "--stall-limit", "1s"];
      const service = await startService(t, { entry, flags, env });
      const before = await service.workerPids();
      writeFileSync(file, how);
      if (how === "hang") readyWithin("700ms");
      const { code, stdout, stderr } = await service.control("reload");
      const said = `${stdout.toString()}${stderr.toString()}`;
      assert.equal(code, 1, said);
      assert.match(said, expected);
      assert.match(said, new RegExp(`broken: ${how}`), "its last output is shown");
      assert.deepEqual(await service.workerPids(), before);
      const status = await service.waitForStatus("as before", ({ state }) => state === "running");
      assert.equal(status.generation, 1);
      assert.equal(status.workers.length, 2);
      rmSync(file);
      readyWithin("20s");
      assert.equal((await service.control("reload")).code, 0, "and the next one is not held up");
    });
  }

  it("reads the environment file again", async (t) => {
    const file = path.join(folderFor(t), "service.env");
    writeFileSync(file, "GREETING=hello\n");
    const service = await startService(t, { entry, flags: ["--env-file", file] });
    const target = await service.target();
    assert.equal((await get(target, "/env?name=GREETING")).text, "hello");
    writeFileSync(file, "GREETING=goodbye\n");
    assert.equal((await service.control("reload")).code, 0);
    assert.equal((await get(target, "/env?name=GREETING")).text, "goodbye");
  });

  it("after one that failed, a crash restarts the old version, its environment too", async (t) => {
    const folder = folderFor(t);
    const [file, broken] = [path.join(folder, "service.env"), path.join(folder, "broken")];
    writeFileSync(file, "GREETING=old\n");
    const options = { entry, flags: ["--env-file", file], env: { BREAKS_WITH: broken } };
    const service = await startService(t, { ...options, workers: 1 });
    const target = await service.target();
    writeFileSync(file, "GREETING=new\n");
    writeFileSync(broken, "exit");
    assert.equal((await service.control("reload")).code, 1);
    rmSync(broken);
    const [pid = 0] = await service.workerPids();
    process.kill(pid, "SIGKILL");
    await service.waitForStatus("restarted", ({ workers }) => {
      return workers.every((worker) => worker.pid !== pid && worker.state === "ready");
    });
    assert.equal((await get(target, "/env?name=GREETING")).text, "old");
  });

  it("reads the configuration file again: the number of workers", async (t) => {
    const file = path.join(folderFor(t), "holdfast.config.json");
    const write = (journalLimit: string): void =>
      writeFileSync(file, JSON.stringify({ journalLimit }));
    write("64KiB");
    const service = await startService(t, { entry, flags: ["--config", file] });
    write("much");
    const wrong = await service.control("reload");
    assert.equal(wrong.code, 1);
    assert.match(`${wrong.stdout.toString()}${wrong.stderr.toString()}`, /journalLimit/);
    assert.equal((await service.status()).state, "running");
    write("1MiB");
    assert.equal((await service.control("reload")).code, 0);
  });

  it("is refused while another one runs", async (t) => {
    const file = path.join(folderFor(t), "broken");
    const env = { BREAKS_WITH: file };
    const flags = ["--ready-timeout", "4s"];
    const service = await startService(t, { entry, env, flags });
    writeFileSync(file, "hang");
    const first = service.control("reload");
    await service.waitForStatus("reloading", ({ state }) => state === "reloading");
    const second = await service.control("reload");
    assert.equal(second.code, 1);
    assert.match(`${second.stdout.toString()}${second.stderr.toString()}`, /a reload is under way/);
    assert.equal((await first).code, 1);
  });

  it("by SIGHUP does the same", async (t) => {
    const service = await startService(t, { entry });
    const before = await service.workerPids();
    service.signal("SIGHUP");
    await service.waitForStatus("replaced", ({ workers, generation }) => {
      return generation === 2 && workers.every(({ pid }) => !before.includes(pid));
    });
  });
});

describe("scale and restart", () => {
  it("change the number of workers, and replace one", async (t) => {
    const service = await startService(t, { entry });
    const up = await service.control("scale", "4");
    assert.equal(up.code, 0, up.stderr.toString());
    const four = await service.workerPids();
    assert.equal(four.length, 4);
    const one = await service.control("restart", "1");
    assert.equal(one.code, 0, one.stderr.toString());
    const restarted = await service.workerPids();
    assert.deepEqual(
      restarted.map((pid, index) => pid === four[index]),
      [true, false, true, true],
    );
    assert.equal((await service.control("reload")).code, 0);
    const reloaded = await service.workerPids();
    assert.equal(reloaded.length, 4, "a reload does not undo it");
    assert.equal((await service.control("scale", "1")).code, 0);
    assert.deepEqual(await service.workerPids(), reloaded.slice(0, 1));
    assert.equal((await get(await service.target())).status, 200);
  });
});
