import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { heapFlags } from "./heap-flags.ts";

const MIB = 1024 ** 2;

test("a large heap keeps V8's own young generation", () => {
  assert.deepEqual(heapFlags(8192 * MIB, [], ""), ["--max-old-space-size=8000"]);
});

test("a small heap has a small young generation too", () => {
  assert.deepEqual(heapFlags(36 * MIB, [], ""), [
    "--max-old-space-size=33",
    "--max-semi-space-size=1",
  ]);
});

test("old and young generation together stay below the limit", () => {
  fc.assert(
    fc.property(fc.integer({ min: 12, max: 1023 }), (mib) => {
      const [old = NaN, semi = NaN] = heapFlags(mib * MIB, [], "").map((flag) =>
        Number(flag.split("=")[1]),
      );
      assert.ok(old + 3 * semi <= mib, `${old} + 3 x ${semi}`);
      assert.ok(Number.isInteger(Math.log2(semi)) && semi <= 16);
    }),
  );
});

test("what the user has set is left alone, and so is a heap without a limit", () => {
  assert.deepEqual(heapFlags(100 * MIB, ["--max-old-space-size=50"], ""), []);
  assert.deepEqual(heapFlags(100 * MIB, [], "--enable-source-maps --max_old_space_size=50"), []);
  assert.deepEqual(heapFlags(0, [], ""), []);
});
