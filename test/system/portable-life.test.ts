/** The life of workers in portable mode: crashes, stalls, reloads, scale and the end. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { ClosedLoops, get, openIdle } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { readyPids, startService } from "./support/service.ts";
import type { Owner } from "./support/service.ts";

const entry = app("http.cjs");
const flags = ["--portable"];

function folderFor(owner: Owner): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-portable-"));
  owner.after(() => Promise.resolve(rmSync(folder, { recursive: true, force: true })));
  return folder;
}

describe("a worker in portable mode", () => {
  it("that crashes is started again, and the other one serves on", async (t) => {
    const service = await startService(t, { entry, flags });
    const target = await service.target();
    const before = await service.workerPids();
    const connection = await RawConnection.open(target);
    connection.sendRequest("GET", "/crash");
    await connection.waitForEnd();
    assert.equal((await get(target)).status, 200);
    const { workers, totals } = await service.waitForStatus("both ready again", (status) => {
      const pids = readyPids(status);
      return pids.length === 2 && pids.some((pid) => !before.includes(pid));
    });
    assert.equal(totals["restarts"], 1);
    assert.deepEqual(
      workers.map(({ lastExit }) => lastExit).filter((each) => each !== null),
      ["exit 1"],
    );
  });

  it("that spins is killed after the stall limit, and replaced", async (t) => {
    const options = { entry, flags: [...flags, "--stall-limit", "1s"] };
    const service = await startService(t, options);
    const target = await service.target();
    const before = await service.workerPids();
    const connection = await RawConnection.open(target);
    connection.sendRequest("GET", "/spin");
    await connection.waitForEnd();
    const { workers } = await service.waitForStatus("both ready again", (status) => {
      const pids = readyPids(status);
      return pids.length === 2 && pids.some((pid) => !before.includes(pid));
    });
    assert.ok(workers.some(({ lastExit }) => lastExit?.includes("stalled") === true));
    assert.equal((await get(target)).status, 200);
  });
});

describe("a reload in portable mode", () => {
  it("fails no request of clients that go on asking, and ends idle connections", async (t) => {
    const service = await startService(t, { entry, flags });
    const target = await service.target();
    const before = await service.workerPids();
    const idle = await openIdle(target, 4);
    const loops = new ClosedLoops(target, 8);
    await loops.progress(50);
    const reload = await service.control("reload");
    await loops.progress(50);
    const result = await loops.stop();
    assert.equal(reload.code, 0, reload.stderr.toString());
    assert.deepEqual(result.failures, []);
    for (const connection of idle) assert.equal(await connection.waitForEnd(), "fin");
    const after = await service.workerPids();
    assert.equal(after.length, 2);
    assert.ok(after.every((pid) => !before.includes(pid)));
    assert.equal((await service.status()).generation, 2);
  });

  it("to a version that does not start leaves the old one, and says why", async (t) => {
    const file = path.join(folderFor(t), "service.cjs");
    const serves = 'require("node:http").createServer((q, r) => r.end("old")).listen(0);\n';
    writeFileSync(file, serves);
    const service = await startService(t, { entry: file, flags });
    const before = await service.workerPids();
    writeFileSync(file, 'throw new Error("the new version is broken");\n');
    const reload = await service.control("reload");
    assert.equal(reload.code, 1);
    const said = `${reload.stdout.toString()}${reload.stderr.toString()}`;
    assert.match(said, /the new version is broken/);
    assert.deepEqual(await service.workerPids(), before);
    assert.equal((await get(await service.target())).text, "old");
  });

  it("follows a change of a watched file", async (t) => {
    const file = path.join(folderFor(t), "service.cjs");
    const serving = (text: string): string =>
      `require("node:http").createServer((q, r) => r.end("${text}")).listen(0, "127.0.0.1");\n`;
    writeFileSync(file, serving("old"));
    const service = await startService(t, { entry: file, flags: [...flags, "--watch"] });
    const target = await service.target();
    assert.equal((await get(target)).text, "old");
    writeFileSync(file, serving("new"));
    await service.waitForStatus("the next generation serves", ({ generation, state }) => {
      return generation === 2 && state === "running";
    });
    assert.equal((await get(target)).text, "new");
  });

  it("reads env files again", async (t) => {
    const folder = folderFor(t);
    const [file, env] = [path.join(folder, "service.cjs"), path.join(folder, "service.env")];
    const serves = '.createServer((q, r) => r.end(process.env.GREETING)).listen(0, "127.0.0.1");\n';
    writeFileSync(file, `require("node:http")${serves}`);
    writeFileSync(env, "GREETING=old\n");
    const service = await startService(t, { entry: file, flags: [...flags, "--env-file", env] });
    const target = await service.target();
    assert.equal((await get(target)).text, "old");
    writeFileSync(env, "GREETING=new\n");
    assert.equal((await service.control("reload")).code, 0);
    assert.equal((await get(target)).text, "new");
  });
});

describe("portable mode", () => {
  it("scales up and down, and replaces one worker", async (t) => {
    const service = await startService(t, { entry, flags });
    const before = await service.workerPids();
    assert.equal((await service.control("scale", "3")).code, 0);
    const three = await service.workerPids();
    assert.deepEqual(three.slice(0, 2), before);
    assert.equal((await service.control("restart", "1")).code, 0);
    const restarted = await service.workerPids();
    assert.deepEqual([restarted[0], restarted[2]], [three[0], three[2]]);
    assert.notEqual(restarted[1], three[1]);
    assert.equal((await service.control("scale", "1")).code, 0);
    assert.deepEqual(await service.workerPids(), [restarted[0]]);
  });

  it("stops by its verb when the request in flight is done, with 0", async (t) => {
    const service = await startService(t, { entry, flags });
    const connection = await RawConnection.open(await service.target());
    connection.sendRequest("GET", "/slow?ms=600");
    await service.waitForStatus("in flight", ({ workers }) => {
      return workers.some(({ inFlight }) => inFlight === 1);
    });
    const stop = await service.control("stop");
    assert.equal(stop.code, 0, stop.stderr.toString());
    assert.equal((await connection.readResponse()).status, 200);
    assert.equal(await connection.waitForEnd(), "fin");
    assert.deepEqual(await service.end(), { code: 0, signal: null });
  });

  it("ends at once on a second signal, with 128 and its number", async (t) => {
    const service = await startService(t, { entry, flags });
    const connection = await RawConnection.open(await service.target());
    connection.sendRequest("GET", "/slow?ms=60000");
    await service.waitForStatus("in flight", ({ workers }) => {
      return workers.some(({ inFlight }) => inFlight === 1);
    });
    service.signal("SIGTERM");
    await service.waitForStatus("stopping", ({ state }) => state === "stopping");
    service.signal("SIGINT");
    assert.deepEqual(await service.end(), { code: 130, signal: null });
  });

  it("leaves no worker behind when it is killed itself", async (t) => {
    const service = await startService(t, { entry, flags });
    await service.workerPids();
    service.signal("SIGKILL");
    await service.exited;
    rmSync(service.socketPath, { force: true }); // nobody is left to remove it
    assert.deepEqual(await service.assertNothingLeft(), { code: null, signal: "SIGKILL" });
  });
});
