import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HEAP_BYTES_MIN, memoryPlan } from "./memory-plan.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

test("a machine of 64 GiB is not held to V8's 4 GiB", () => {
  const { heapLimitBytes, watchBytes } = memoryPlan(0, 64 * GIB, 8);
  assert.ok(heapLimitBytes > 4.5 * GIB, `${heapLimitBytes / GIB} GiB`);
  assert.equal(watchBytes, 0, "nothing to watch where no limit is known");
});

test("the heaps of a container of 512 MiB fit into it", () => {
  const { heapLimitBytes } = memoryPlan(512 * MIB, 64 * GIB, 2);
  assert.ok(2 * heapLimitBytes < 400 * MIB);
  assert.ok(heapLimitBytes > 128 * MIB, "and are not smaller than need be");
});

test("a container of 128 MiB has room for one worker", () => {
  const { heapLimitBytes, watchBytes } = memoryPlan(128 * MIB, 64 * GIB, 1);
  assert.ok(heapLimitBytes >= 32 * MIB && heapLimitBytes <= 64 * MIB, `${heapLimitBytes / MIB}`);
  assert.ok(watchBytes > heapLimitBytes && watchBytes < 64 * MIB);
});

test("a limit above the machine's memory is no licence", () => {
  assert.deepEqual(memoryPlan(8 * GIB, 2 * GIB, 2), memoryPlan(2 * GIB, 2 * GIB, 2));
});

test("heaps together never exceed the limit, but for the least that a worker needs", () => {
  const sizes = fc.integer({ min: 1, max: 1024 }).map((count) => count * 64 * MIB);
  fc.assert(
    fc.property(sizes, sizes, fc.integer({ min: 1, max: 256 }), (limit, machine, workers) => {
      const plan = memoryPlan(limit, machine, workers);
      assert.ok(plan.heapLimitBytes >= HEAP_BYTES_MIN);
      const isFloor = plan.heapLimitBytes === HEAP_BYTES_MIN;
      assert.ok(isFloor || plan.heapLimitBytes * workers < Math.min(limit, machine));
      assert.ok(plan.watchBytes > 0);
    }),
  );
});
