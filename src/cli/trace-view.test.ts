/** What `holdfast trace` writes to a terminal, to a pipe, and as JSON. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeWorld } from "../../test/support/world.ts";
import { Merger } from "../trace/mod.ts";
import type { TraceSnapshot } from "../trace/mod.ts";
import { TraceView } from "./trace-view.ts";

const SNAPSHOT: TraceSnapshot = {
  aggregations: [
    {
      name: "n",
      kind: "count",
      params: [],
      keyCount: 1,
      unit: null,
      rows: [
        [["/a\u001B[31m"], [20]],
        [["/b"], [5]],
      ],
      drops: 3,
      skipped: 0,
    },
    {
      name: "t",
      kind: "quantize",
      params: [],
      keyCount: 0,
      unit: "ms",
      rows: [[[], [100, 2, 102, 6]]],
      drops: 0,
      skipped: 1,
    },
  ],
  probes: [{ probe: "http:done", firings: 25, passed: 25, off: "it took 3.0% of the time" }],
  lines: ["one\u0007", "two\nthree"],
  drops: 0,
  errors: 0,
  lastError: null,
  share: 0.0123,
  ended: null,
  isSpent: false,
};

function merged() {
  const merger = new Merger();
  merger.take(1, SNAPSHOT);
  return merger.merged();
}

test("a pipe gets lines as they come, and the figures once, with what they lack", () => {
  const world = makeWorld({});
  const view = new TraceView(world, false);
  view.line({ type: "started", trace: 1, workers: [0, 1] });
  view.snapshot(0, SNAPSHOT);
  view.draw(merged(), [1]);
  view.end(merged(), "its time is over");
  const lines = world.output().split("\n");
  assert.deepEqual(lines.slice(0, 3), ["one\\u0007", "two", "three"]);
  assert.equal(lines[3], "@n count");
  assert.match(lines[4] ?? "", /^ {2}\/a\\u001b\[31m +20 {2}█{40}$/);
  assert.match(lines[5] ?? "", /^ {2}\/b +5 {2}█{10}$/);
  const text = world.output();
  assert.match(
    text,
    /\n {7}1ms \|█+▍ +\| 2 {2}25%\n {7}2ms \| +\| 0 {2}0\.0%\n {7}4ms \|█{40}\| 6/,
  );
  assert.match(text, /@n: 3 values dropped: too many keys\n@t: 1 values skipped/);
  assert.match(text, /http:done is off: it took 3\.0% of the time\n/);
  assert.match(world.errors(), /tracing 2 workers; Ctrl-C ends it\n/);
  assert.match(world.errors(), /its time is over; 25 firings in 1 worker, 1\.23% of their time/);
});

test("a terminal is drawn again in place, with printed lines above", () => {
  const world = makeWorld({}, true);
  const view = new TraceView(world, false);
  view.draw(merged(), []);
  const drawn = world.output().split("\n").length - 1;
  view.draw(merged(), [1]);
  assert.ok(world.output().includes(`\u001B[${drawn}F\u001B[J`));
  assert.match(world.output(), /no answer from worker 1: it is busy/);
  const before = world.output().length;
  view.snapshot(0, SNAPSHOT);
  const after = world.output().slice(before);
  assert.ok(after.includes("F\u001B[Jone\\u0007\ntwo\nthree\n@n count\n"), after);
});

test("--json: each thing is a line, figures ready to be used", () => {
  const world = makeWorld({});
  const view = new TraceView(world, true);
  view.line({ type: "refused", worker: 1, message: "no" });
  view.snapshot(0, SNAPSHOT);
  view.end(merged(), "it was stopped");
  const lines = world
    .output()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  assert.deepEqual(lines.slice(0, 2), [
    { event: "refused", worker: 1, message: "no" },
    { event: "line", worker: 0, text: "one\u0007" },
  ]);
  assert.deepEqual(lines.at(-1), { event: "ended", reason: "it was stopped" });
  const { aggregations } = lines.at(-2) as { aggregations: readonly { rows: unknown }[] };
  assert.deepEqual(aggregations[1]?.rows, [
    {
      keys: [],
      buckets: [
        { from: 1, to: 2, count: 2 },
        { from: 4, to: 8, count: 6 },
      ],
    },
  ]);
});
