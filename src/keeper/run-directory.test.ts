import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { HoldfastError } from "../base/mod.ts";
import { openRunFiles } from "./run-directory.ts";

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "holdfast-run-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

function failsWith(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof HoldfastError && error.code === code && message.test(error.message);
}

test("makes directory, pid file, control socket for this user only; removes the files", (t) => {
  const path = join(directory(t), "a", "b");
  const files = openRunFiles(path, "shop");
  const modeOf = (name: string): number => statSync(join(path, name)).mode & 0o777;
  assert.equal(modeOf("."), 0o700);
  assert.equal(modeOf("shop.sock"), 0o600);
  assert.equal(modeOf("shop.pid"), 0o600);
  assert.equal(readFileSync(join(path, "shop.pid"), "utf8"), `${process.pid}\n`);
  assert.equal(files.logPath, join(path, "shop.log"));
  files.release();
  assert.equal(existsSync(join(path, "shop.sock")), false);
  assert.equal(existsSync(join(path, "shop.pid")), false);
});

test("a name that is in use is refused, with the pid of its holder; another is not", (t) => {
  const path = directory(t);
  const first = openRunFiles(path, "shop");
  const message = new RegExp(
    `process ${process.pid} runs one of that name.*holdfast stop --name shop`,
  );
  assert.throws(() => openRunFiles(path, "shop"), failsWith("ERR_HOLDFAST_NAME_IN_USE", message));
  assert.ok(existsSync(join(path, "shop.sock")), "the refused one has removed nothing");
  openRunFiles(path, "other").release();
  first.release();
  openRunFiles(path, "shop").release();
});

test("what a killed keeper left is no obstacle", (t) => {
  const path = directory(t);
  writeFileSync(join(path, "shop.pid"), "999999\n999\n");
  writeFileSync(join(path, "shop.sock"), "");
  const files = openRunFiles(path, "shop");
  assert.equal(readFileSync(join(path, "shop.pid"), "utf8"), `${process.pid}\n`);
  files.release();
});

test("a directory that others may write to is refused", (t) => {
  const path = directory(t);
  chmodSync(path, 0o777);
  const refused = failsWith(
    "ERR_HOLDFAST_RUNTIME_DIR",
    /others may write to it.*HOLDFAST_RUNTIME_DIR/,
  );
  assert.throws(() => openRunFiles(path, "shop"), refused);
  chmodSync(path, 0o1777);
  openRunFiles(path, "shop").release();
});

test("a path that is too long for a socket is refused, and the name is free again", (t) => {
  const path = join(directory(t), "x".repeat(100));
  const refused = failsWith("ERR_HOLDFAST_RUNTIME_DIR", /longer than 107 bytes/);
  assert.throws(() => openRunFiles(path, "shop"), refused);
  assert.throws(() => openRunFiles(path, "shop"), refused);
});
