/** The runtime directory cannot be used, or the name is taken. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { holdfast, runOnce } from "./support/once.ts";
import { app } from "./support/paths.ts";
import { kill } from "./support/processes.ts";
import { makeRuntimeDir, startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const script = app("scripts/ok.cjs");

function folderFor(owner: { after(hook: () => void): void }): string {
  const folder = makeRuntimeDir();
  owner.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

describe("the runtime directory", () => {
  it("that cannot be made is named, and nothing starts", async (t) => {
    // Below a regular file: refused also for root, whom modes do not stop.
    const file = path.join(folderFor(t), "file");
    writeFileSync(file, "");
    const runtimeDir = path.join(file, "runtime");
    const { code, stderr, stdout } = await runOnce(script, { runtimeDir });
    assert.equal(code, 73, stderr.toString());
    assert.ok(stderr.toString().startsWith("holdfast: "), stderr.toString());
    assert.ok(stderr.toString().includes(runtimeDir), stderr.toString());
    assert.match(stderr.toString(), /HOLDFAST_RUNTIME_DIR/);
    assert.equal(stdout.length, 0);
  });

  it("whose path is too long for a unix socket is refused before anything starts", async (t) => {
    const runtimeDir = path.join(folderFor(t), "d".repeat(120));
    const { code, stderr, stdout } = await runOnce(script, { runtimeDir });
    assert.ok(code === 73 || code === 64, `${code} ${stderr.toString()}`);
    assert.match(stderr.toString(), /^holdfast: .*(long|bytes)/m);
    assert.equal(stdout.length, 0);
  });

  it("is made, for its user only", async (t) => {
    const runtimeDir = path.join(folderFor(t), "a/b");
    mkdirSync(path.dirname(runtimeDir));
    const { code } = await runOnce(script, { runtimeDir });
    assert.equal(code, 0);
    assert.equal(statSync(runtimeDir).mode & 0o777, 0o700);
  });
});

describe("two runs with one name", () => {
  it("the second is refused, says who has the name, and leaves the first alone", async (t) => {
    const runtimeDir = folderFor(t);
    const first = await startService(t, { entry: app("http.cjs"), runtimeDir, name: "twice" });
    const target = await first.target();
    const args = ["run", "--name", "twice", app("http.cjs")];
    const { code, stderr, stdout } = await holdfast(args, { runtimeDir });
    assert.equal(code, 69, stderr.toString());
    assert.match(stderr.toString(), /^holdfast: .*twice/m);
    assert.ok(stderr.toString().includes(String(first.pid)), stderr.toString());
    assert.match(stderr.toString(), /--name/);
    assert.equal(stdout.length, 0);
    assert.equal((await get(target)).status, 200);
    assert.equal((await first.status()).pid, first.pid);
    await first.stop();
  });

  it("a name is free again when its keeper was killed, in spite of what it left", async (t) => {
    const runtimeDir = folderFor(t);
    const first = await startService(t, { entry: app("http.cjs"), runtimeDir, name: "again" });
    kill(first.pid, "SIGKILL");
    await first.exited;
    const left = existsSync(first.socketPath);
    await waitFor("workers of the first one have ended", () => first.leftPids().length === 0);
    const second = await startService(t, { entry: app("http.cjs"), runtimeDir, name: "again" });
    assert.equal((await get(await second.target())).status, 200, `socket left: ${left}`);
    await second.stop();
  });
});
