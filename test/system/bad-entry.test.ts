/**
 * Entries that do not exist, throw, never listen, or cannot listen: what, why, and an exit code.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { runOnce, runPlain } from "./support/once.ts";
import { app } from "./support/paths.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "hf-entry-"));
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("an entry", () => {
  it("that does not exist is refused by name", async () => {
    const missing = path.join(folder, "missing-app.js");
    const { code, stderr, stdout } = await runOnce(missing);
    assert.equal(code, 64, stderr.toString());
    assert.match(stderr.toString(), /^holdfast: .*missing-app\.js/m);
    assert.equal(stdout.length, 0);
  });

  it("that is a directory without an index is refused by name", async () => {
    const { code, stderr } = await runOnce(folder);
    assert.equal(code, 64, stderr.toString());
    assert.ok(stderr.toString().includes(folder));
  });

  it("that throws at its start ends with its exit code and its stack", async () => {
    const { code, stderr } = await runOnce(app("scripts/throw.cjs"));
    assert.equal(code, 1);
    assert.match(stderr.toString(), /TypeError: thrown as asked/);
    assert.match(stderr.toString(), /at fail \(.*throw\.cjs:4:9\)/);
    assert.doesNotMatch(stderr.toString(), /^holdfast:/m, "nothing is added to what node says");
  });

  it("that never listens ends after the ready timeout, which says what to do", async () => {
    const flags = ["--ready-timeout", "700ms"];
    const { code, stderr, stdout } = await runOnce(app("never-listens.cjs"), { flags });
    assert.equal(code, 75, stderr.toString());
    assert.match(stdout.toString(), /^waiting for something/);
    const message = stderr.toString();
    for (const part of [/^holdfast: /m, /700 ?ms/, /listen/, /process\.send\(['"]ready['"]\)/]) {
      assert.match(message, part);
    }
  });

  it("whose port is in use ends as under plain node, and the message names the port", async (t) => {
    const port = await takePort(t);
    const env = { PORT: String(port) };
    const plain = await runPlain(app("port-in-use.cjs"), { env });
    const ours = await runOnce(app("port-in-use.cjs"), { env });
    assert.equal(plain.code, 1);
    assert.deepEqual([ours.code, ours.signal], [1, null]);
    for (const { stderr } of [plain, ours]) {
      assert.match(stderr.toString(), new RegExp(`EADDRINUSE.* 127\\.0\\.0\\.1:${port}`));
    }
  });

  it("that handles the error of a port in use gets the error it knows", async (t) => {
    const env = { PORT: String(await takePort(t)), HANDLE: "1" };
    const plain = await runPlain(app("port-in-use.cjs"), { env });
    const ours = await runOnce(app("port-in-use.cjs"), { env });
    assert.deepEqual([plain.code, ours.code], [9, 9]);
    const errors = [plain, ours].map(({ stdout }) => {
      return JSON.parse(stdout.toString()) as Record<string, unknown>;
    });
    // The system call that failed is "bind" in a worker, as under node:cluster.
    assert.deepEqual({ ...errors[1], syscall: "listen" }, errors[0]);
  });
});

/** A port of 127.0.0.1 that somebody else listens on. */
async function takePort(owner: { after(hook: () => void): void }): Promise<number> {
  const server = net.createServer();
  owner.after(() => {
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as net.AddressInfo).port; // Listening on TCP: always this shape.
}
