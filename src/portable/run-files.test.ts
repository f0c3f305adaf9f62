import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { openRunFiles } from "./run-files.ts";

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-files-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A pid that no process has: above pid_max (proc_sys_kernel(5)), which is 2^22 at most. */
const NOBODY = 4_194_305;

test("the name is taken, and free again when released", async (t) => {
  const folder = path.join(folderFor(t), "made", "for it");
  const files = await openRunFiles(folder, "shop");
  assert.equal(readFileSync(path.join(folder, "shop.pid"), "utf8"), `${process.pid}\n`);
  files.release();
  assert.equal(existsSync(path.join(folder, "shop.pid")), false);
  (await openRunFiles(folder, "shop")).release();
});

test("a name is in use while somebody answers on its control socket", async (t) => {
  const folder = folderFor(t);
  const files = await openRunFiles(folder, "shop");
  const server = createServer((socket) => socket.end());
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(files.socketPath, resolve));
  await assert.rejects(openRunFiles(folder, "shop"), {
    code: "ERR_HOLDFAST_NAME_IN_USE",
    message: new RegExp(`process ${process.pid} runs one of that name`),
  });
  (await openRunFiles(folder, "other")).release();
});

test("what a killed process left is taken over", async (t) => {
  const folder = folderFor(t);
  for (const leftover of [`${NOBODY}\n`, `${process.pid}\n`, "", "no number"]) {
    writeFileSync(path.join(folder, "shop.pid"), leftover);
    writeFileSync(path.join(folder, "shop.sock"), "");
    const files = await openRunFiles(folder, "shop");
    assert.equal(existsSync(files.socketPath), false);
    files.release();
  }
});

test("a directory that cannot be used, or that others may write to, is refused", async (t) => {
  const folder = folderFor(t);
  const file = path.join(folder, "file");
  writeFileSync(file, "");
  const refused = { code: "ERR_HOLDFAST_RUNTIME_DIR" };
  await assert.rejects(openRunFiles(path.join(file, "below"), "shop"), refused);
  chmodSync(folder, 0o777);
  await assert.rejects(openRunFiles(folder, "shop"), refused);
});
