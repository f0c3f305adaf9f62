import assert from "node:assert/strict";
import { channel } from "node:diagnostics_channel";
import { test } from "node:test";
import { LINE_CHANNEL } from "../../base/mod.ts";
import { TraceRuntime } from "./runtime.ts";

/** What a breakpoint's condition does. */
function run(id: number, local: object): boolean {
  const message = { id, isWanted: false, values: () => [local] };
  channel(LINE_CHANNEL).publish(message);
  return message.isWanted;
}

function start(program: string): TraceRuntime {
  const runtime = new TraceRuntime();
  assert.equal(runtime.start(1, { program, worker: 0 }), null);
  return runtime;
}

test("a line tells its variables until the trace ends", () => {
  const runtime = start("line:a/b.js:7 { @[local.order.id, local.x] = count() }");
  const [line] = runtime.lines(1);
  assert.deepEqual(line, { id: line?.id, file: "a/b.js", at: 7, variables: ["order", "x"] });
  assert.ok(run(line.id, { order: { id: 3 }, x: "y" }));
  assert.equal(run(line.id + 1, {}), false, "nobody's");
  const snapshot = runtime.stop(1);
  assert.deepEqual(snapshot?.aggregations[0]?.rows[0]?.[0], ["3", "y"]);
  assert.equal(run(line.id, {}), false, "the agent takes the breakpoint away");
  assert.equal(channel(LINE_CHANNEL).hasSubscribers, false);
});

test("a line is seen so often a second, and that there is more is said", () => {
  const runtime = start("line:a.js:1 { @ = count() }");
  const id = runtime.lines(1)[0]?.id ?? 0;
  const wanted = Array.from({ length: 300 }, () => run(id, {})).filter(Boolean).length;
  const snapshot = runtime.stop(1);
  assert.equal(wanted, 100);
  assert.equal(snapshot?.errors, 200);
  assert.match(snapshot.lastError ?? "", /line:a\.js:1 runs more than 100 times a second/);
});

test("what cannot be read is undefined, what cannot be watched is off", () => {
  const runtime = start("line:a.js:1 { @[local.x] = count() }");
  const id = runtime.lines(1)[0]?.id ?? 0;
  const values = (): never => {
    throw new Error("no scope");
  };
  channel(LINE_CHANNEL).publish({ id, isWanted: false, values });
  channel(LINE_CHANNEL).publish({ id, isWanted: false, off: "no such file" });
  assert.equal(run(id, {}), false);
  const snapshot = runtime.stop(1);
  assert.match(snapshot?.lastError ?? "", /no scope/);
  assert.equal(snapshot?.probes[0]?.off, "no such file");
});

test("functions that no object holds are watched where they are called", () => {
  const runtime = start(
    "fn:lib/db.hidden:entry { @ = count() } fn:lib/db.hidden:return { @ = count() }",
  );
  assert.deepEqual(
    runtime.lines(1).map(({ file, at }) => [file, at]),
    [["lib/db", "hidden"]],
  );
  const off = runtime.stop(1)?.probes.map((probe) => probe.off);
  assert.match(off?.[1] ?? "", /only :entry can be seen/);
});

test("a line without a number is refused", () => {
  const runtime = new TraceRuntime();
  for (const name of ["line:a.js", "line:a.js:0", "line:a.js:x", "line::3"]) {
    const refused = runtime.start(1, { program: `${name} { @ = count() }`, worker: 0 });
    assert.match(refused ?? "", /names no line/, name);
  }
});
