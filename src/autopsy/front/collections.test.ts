import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { oneRegion } from "../../../test/support/one-region.ts";
import type { Stacks } from "../stack/mod.ts";
import type { V8Process } from "../v8/process.ts";
import { collectionsOf } from "./collections.ts";

const [MAIN, WORKER] = [0x10_0000, 0x14_0000];
const AREAS = [0xc8, 0xe0];
const COLLECT = "v8::internal::Heap::CollectGarbage(v8::internal::AllocationSpace, ...)";
const SCAVENGE = "v8::internal::ScavengerCollector::CollectGarbage()";
const PERFORM = "v8::internal::Heap::PerformGarbageCollection(...)";

/** Two isolates; `open`: those that have an area from which objects are given out. */
function process(open: readonly number[], areas = AREAS): V8Process {
  const bytes = Buffer.alloc(0x8_0000);
  for (const isolate of open) bytes.writeBigUInt64LE(0x1234n, isolate - MAIN + (AREAS[1] ?? 0) + 8);
  const isolates = [
    { address: MAIN, tid: 1 },
    { address: WORKER, tid: 2 },
  ];
  const layout = { stated: { allocationAreas: areas } };
  // the members that are asked for
  return { isolates, layout, target: oneRegion(MAIN, bytes) } as unknown as V8Process;
}

/** Of the threads 1, 2 and 3. */
function stacks(...names: readonly (readonly string[])[]): () => Stacks {
  const threads = names.map((own, index) => ({
    tid: index + 1,
    frames: own.map((name) => ({ kind: name.startsWith("js ") ? "javascript" : "native", name })),
  }));
  return () => ({ threads }) as unknown as Stacks; // the same
}

const unasked = (): never => assert.fail("stacks were read");

describe("collections that are under way", () => {
  it("are none where areas are open, and nobody reads stacks for that", () => {
    const { areUnderWay, isScavenged } = collectionsOf(process([MAIN, WORKER]), unasked);
    assert.equal(areUnderWay, false);
    assert.equal(isScavenged(MAIN + 0xeff8), false);
  });

  it("are told by the stack of the isolate's own thread, and by native frames alone", () => {
    const closed = process([WORKER]); // of the main thread's isolate
    const of = (...names: readonly (readonly string[])[]): boolean =>
      collectionsOf(closed, stacks(...names)).areUnderWay;
    assert.equal(of(["uv_run"], [COLLECT], [COLLECT]), false);
    assert.equal(of([`js ${COLLECT}`]), false);
    assert.equal(of(["v8::internal::Heap::CollectGarbageLater(...)"]), false);
    assert.equal(of([PERFORM, COLLECT, "js work"]), true);
  });

  it("move young objects of that heap alone", () => {
    const one = collectionsOf(process([MAIN]), stacks([], [SCAVENGE, PERFORM, COLLECT]));
    assert.equal(one.areUnderWay, true);
    assert.equal(one.isScavenged(WORKER + 0xeff8), true);
    assert.equal(one.isScavenged(MAIN + 0xeff8), false);
    assert.equal(one.isScavenged(WORKER), false); // a heap lies within its isolate
    const marked = collectionsOf(process([MAIN]), stacks([], [PERFORM, COLLECT]));
    assert.deepEqual([marked.areUnderWay, marked.isScavenged(WORKER + 0xeff8)], [true, false]);
  });

  it("are none where the areas are not in the core", () => {
    const missing = process([], [0x7_0000, 0x10_0000]);
    assert.equal(collectionsOf(missing, unasked).areUnderWay, false);
  });
});
