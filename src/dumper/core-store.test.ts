import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { zstdDecompressSync } from "node:zlib";
import { CoreStore } from "./core-store.ts";

function folder(t: TestContext): string {
  const made = mkdtempSync(path.join(os.tmpdir(), "hf-cores-"));
  t.after(() => rmSync(made, { recursive: true }));
  return path.join(made, "cores");
}

/** Bytes that nothing makes smaller, the same ones each time. */
function noise(count: number): Buffer {
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 16;
  return Buffer.from(Array.from({ length: count }, next));
}

test("a core is compressed, readable for its owner only, and what it was", async (t) => {
  const at = folder(t);
  const store = new CoreStore(at, "shop", 1e6);
  const file = store.next(3, 4711);
  assert.match(path.basename(file), /^shop-\d{8}T\d{6}Z-w3-4711\.core$/);
  const content = noise(10_000);
  writeFileSync(file, content);
  const { path: kept, bytes } = await store.keep(file);
  assert.deepEqual(readdirSync(at), [`${path.basename(file)}.zst`]);
  assert.deepEqual(zstdDecompressSync(readFileSync(kept)), content);
  assert.equal(statSync(kept).size, bytes);
  assert.equal(statSync(kept).mode & 0o777, 0o600);
});

test("the oldest go when there are too many, or too many bytes; others' files stay", async (t) => {
  const at = folder(t);
  mkdirSync(at);
  const name = (day: number): string => `shop-202611${day}T000000Z-w0-1.core`;
  for (const day of [11, 12, 13, 14, 15, 16])
    writeFileSync(path.join(at, `${name(day)}.zst`), noise(100));
  const foreign = ["shop2-20261101T000000Z-w0-1.core", "shop.txt", "shop-20261101.core.zst"];
  for (const file of foreign) writeFileSync(path.join(at, file), "1");
  writeFileSync(path.join(at, name(18)), "half");
  const store = new CoreStore(at, "shop", 3000);
  assert.ok(!readdirSync(at).includes(name(18)), "what a former one left is gone");
  writeFileSync(path.join(at, name(17)), noise(100));
  await store.keep(path.join(at, name(17)));
  const rest = readdirSync(at).filter((file) => !foreign.includes(file));
  assert.deepEqual(
    rest,
    [13, 14, 15, 16, 17].map((day) => `${name(day)}.zst`),
  );
  writeFileSync(path.join(at, name(19)), noise(2800));
  await store.keep(path.join(at, name(19)));
  const two = readdirSync(at).filter((file) => !foreign.includes(file));
  assert.deepEqual(
    two,
    [17, 19].map((day) => `${name(day)}.zst`),
  );
  for (const file of foreign) assert.ok(readdirSync(at).includes(file), file);
});

test("one that is larger than all that may be kept is not, and nothing is left", async (t) => {
  const at = folder(t);
  const store = new CoreStore(at, "shop", 5000);
  const file = store.next(0, 1);
  writeFileSync(file, noise(9000));
  await assert.rejects(store.keep(file), { code: "ERR_HOLDFAST_CORE" });
  await store.settled();
  assert.deepEqual(readdirSync(at), []);
});

test("on a full disk the oldest make room; one that never fits leaves nothing", async (t) => {
  const at = folder(t);
  const name = (day: number): string => `shop-202611${day}T000000Z-w0-1.core`;
  mkdirSync(at);
  for (const day of [11, 12, 13]) writeFileSync(path.join(at, `${name(day)}.zst`), noise(10));
  const full = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  const fits = (count: number) => async (_: string, partial: string) => {
    writeFileSync(partial, noise(10), { flag: "wx" });
    if (readdirSync(at).filter((file) => file.endsWith(".zst")).length > count) throw full;
  };
  const store = new CoreStore(at, "shop", 1e6, fits(1));
  writeFileSync(path.join(at, name(14)), "core");
  await store.keep(path.join(at, name(14)));
  assert.deepEqual(
    readdirSync(at),
    [13, 14].map((day) => `${name(day)}.zst`),
  );
  const never = new CoreStore(at, "shop", 1e6, fits(-1));
  writeFileSync(path.join(at, name(15)), "core");
  await assert.rejects(never.keep(path.join(at, name(15))), { code: "ENOSPC" });
  assert.deepEqual(readdirSync(at), []);
});
