/**
 * Aggregations: several workers' are those of one; memory is bounded; buckets hold their values.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Aggregation } from "./aggregation.ts";
import type { AggregationShape } from "./aggregation.ts";
import { boundsOf, llquantizeBucket, lquantizeBucket, quantizeBucket } from "./buckets.ts";
import { Merger, mergeAggregations } from "./merge.ts";
import type { TraceSnapshot } from "./merge.ts";
import { scalarOf } from "./render.ts";
import { Uniq } from "./uniq.ts";
import type { AggregateName } from "./vocabulary.ts";

const KINDS: readonly AggregateName[] = [
  ...(["count", "sum", "avg", "min", "max", "uniq"] as const),
  ...(["quantize", "lquantize", "llquantize"] as const),
];

function shape(kind: AggregateName, keyCount = 1): AggregationShape {
  const params = kind === "lquantize" ? [-10, 100, 5] : [];
  return { name: "a", kind, params, keyCount, unit: null };
}

function make(kind: AggregateName, keyCount = 1): Aggregation {
  return new Aggregation(shape(kind, keyCount), { chars: 0, charsMax: 1_000_000 });
}

test("what workers aggregate alone and merge is what one would have aggregated", () => {
  const values = fc.array(
    fc.record({ worker: fc.nat(2), key: fc.constantFrom("x", "y"), value: fc.integer() }),
    { maxLength: 60 },
  );
  for (const kind of KINDS) {
    fc.assert(
      fc.property(values, (events) => {
        const one = make(kind);
        const workers = [make(kind), make(kind), make(kind)];
        for (const { worker, key, value } of events) {
          one.add(key, value);
          workers[worker]?.add(key, value);
        }
        const [merged] = mergeAggregations(workers.map((each) => each.snapshot()));
        const rows = (of: typeof merged) =>
          new Map(of?.rows.map(([keys, data]) => [keys.join(), data.toSorted((a, b) => a - b)]));
        assert.deepEqual(rows(merged), rows(one.snapshot()));
      }),
      { numRuns: 40 },
    );
  }
});

test("a bucket holds its values, whatever their size and sign", () => {
  const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer());
  fc.assert(
    fc.property(number, (value) => {
      const steps = [-10, 100, 7];
      const buckets = [
        ["quantize", quantizeBucket(value), []],
        ["llquantize", llquantizeBucket(value), []],
        ["lquantize", lquantizeBucket(value, steps), steps],
      ] as const;
      for (const [kind, bucket, params] of buckets) {
        const { from, to } = boundsOf(kind, bucket, params);
        const size = Math.abs(value);
        const isTiny = bucket === 0 && kind !== "lquantize" && size < 1e-11;
        const isHuge = kind !== "lquantize" && size > 4e18;
        const isIn =
          value < 0 && kind !== "lquantize"
            ? from < value && value <= to
            : from <= value && value < to;
        assert.ok(isIn || isTiny || isHuge, `${value} in ${kind} ${bucket}: ${from} to ${to}`);
      }
    }),
  );
  for (let exponent = -39; exponent < 62; exponent += 1) {
    const { from } = boundsOf("quantize", quantizeBucket(2 ** exponent), []);
    assert.equal(from, 2 ** exponent);
  }
});

test("keys beyond the limits are dropped and counted; what is no number is skipped", () => {
  const few = new Aggregation(shape("sum"), { chars: 0, charsMax: 1_000_000 }, 3);
  for (const key of ["a", "b", "c", "d", "a", "e"]) few.add(key, 2);
  assert.deepEqual([few.size, few.drops], [3, 2]);
  few.add("a", {});
  few.add("new", undefined);
  assert.deepEqual([few.size, few.skipped], [3, 2]);
  const space = { chars: 0, charsMax: 10 };
  const small = new Aggregation(shape("count"), space);
  small.add("123456", 1);
  small.add("7890123", 1);
  assert.deepEqual([small.size, small.drops, space.chars], [1, 1, 6]);
  small.clear();
  assert.deepEqual([small.size, space.chars], [0, 0]);
});

test("the rows that weigh most come first, and truncation keeps them", () => {
  const sums = make("sum", 2);
  for (const [id, value] of [
    ["a\u001Fx", 1],
    ["b\u001Fx", 9],
    ["c\u001Fx", 5],
  ] as const) {
    sums.add(id, value);
  }
  assert.deepEqual(
    sums.snapshot().rows.map(([keys]) => keys),
    [
      ["b", "x"],
      ["c", "x"],
      ["a", "x"],
    ],
  );
  sums.truncate(1);
  assert.deepEqual(sums.snapshot().rows, [[["b", "x"], [9]]]);
});

test("sums of anything stay finite: JSON has no infinity", () => {
  const sum = make("sum");
  sum.add("x", Number.MAX_VALUE);
  sum.add("x", Infinity);
  const text = JSON.stringify(sum.snapshot());
  assert.doesNotMatch(text, /null\]/);
});

test("uniq counts few exactly and many within 10 %, merged too", () => {
  const [left, right] = [new Uniq(), new Uniq()];
  for (let index = 0; index < 100; index += 1) left.add(`a${index % 50}`);
  assert.equal(left.estimate(), 50);
  for (let index = 0; index < 20_000; index += 1) {
    left.add(`v${index}`);
    right.add(`v${index + 10_000}`);
  }
  right.merge(left.data());
  const estimate = right.estimate();
  assert.ok(Math.abs(estimate - 30_050) < 3005, String(estimate));
  assert.equal(scalarOf("uniq", right.data()), estimate);
});

test("the last snapshot of a worker that died counts; a new one replaces an old one", () => {
  const snapshot = (count: number): TraceSnapshot => {
    const counts = make("count");
    for (let index = 0; index < count; index += 1) counts.add("k", 1);
    return {
      aggregations: [counts.snapshot()],
      probes: [{ probe: "begin", firings: count, passed: count, off: null }],
      lines: [],
      drops: 1,
      errors: 0,
      lastError: null,
      share: 0.01,
      ended: null,
      isSpent: false,
    };
  };
  const merger = new Merger();
  merger.take(1, snapshot(5));
  merger.take(2, snapshot(3));
  merger.take(1, snapshot(7));
  const { aggregations, workers, drops, probes } = merger.merged();
  assert.deepEqual(aggregations[0]?.rows, [[["k"], [10]]]);
  assert.deepEqual([workers, drops, probes[0]?.firings], [2, 2, 10]);
});
