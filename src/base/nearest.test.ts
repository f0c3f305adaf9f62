import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { didYouMean, editDistance, nearestName } from "./nearest.ts";

test("the nearest name within two changes is found", () => {
  const names = ["workers", "watch", "name"];
  assert.equal(nearestName("wrokers", names), "workers");
  assert.equal(nearestName("worker", names), "workers");
  assert.equal(nearestName("WATCH", names), "watch");
  assert.equal(nearestName("port", names), null);
  assert.equal(nearestName("x".repeat(1000), names), null);
  assert.equal(nearestName("", names), null);
});

test("short names must be nearer", () => {
  assert.equal(nearestName("rnu", ["run"]), "run");
  assert.equal(nearestName("abc", ["run"]), null);
  assert.equal(nearestName("port", ["core"]), null);
});

test("a sentence is made of it, or nothing", () => {
  assert.equal(didYouMean("statsu", ["status"]), " Did you mean status?");
  assert.equal(didYouMean("zzz", ["status"]), "");
});

test("distance: a swap of neighbours is one change", () => {
  assert.equal(editDistance("statsu", "status"), 1);
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("", "abc"), 3);
});

test("distance is symmetric, and zero only for the same text", () => {
  const word = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(word, word, (left, right) => {
      const distance = editDistance(left, right);
      assert.equal(distance, editDistance(right, left));
      assert.equal(distance === 0, left === right);
      assert.ok(distance <= Math.max(left.length, right.length));
    }),
  );
});
