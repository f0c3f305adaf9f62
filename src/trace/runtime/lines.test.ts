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
  const { id = 0 } = line ?? {};
  const variables = ["order", "x"];
  assert.deepEqual(line, { id, file: "a/b.js", at: 7, variables, isBinding: false, hz: 0 });
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

/** What the agent evaluates in the first call of a function: what to bind instead. */
function bind(runtime: TraceRuntime, trace: number, root: unknown, path: readonly string[] = []) {
  const [line] = runtime.lines(trace);
  assert.equal(line?.isBinding, true);
  const message = { id: line.id, isWanted: false, root, path, values: () => [1] };
  channel(LINE_CHANNEL).publish(message);
  const { replacement } = message as { replacement?: unknown };
  return replacement as (value: number) => number; // it is, or the test fails
}

test("functions that no object holds are replaced where they are bound", () => {
  const runtime = start(
    "fn:lib/db.hidden:entry { @in = sum(arg0) } fn:lib/db.hidden:return { @out = sum(retval) }",
  );
  const hidden = (value: number): number => 2 * value;
  const first = bind(runtime, 1, hidden); // this call is seen at its entry
  assert.equal(first(10), 20);
  const program = "fn:lib/db.hidden:return { @ = count() }";
  assert.equal(runtime.start(2, { program, worker: 0 }), null);
  const second = bind(runtime, 2, first);
  assert.equal(second, first, "one replacement for both");
  assert.equal(second(20), 40);
  assert.deepEqual(
    runtime.stop(1)?.aggregations.map(({ rows }) => rows[0]?.[1]),
    [[31], [60]],
  );
  assert.equal(second(1), 2);
  assert.deepEqual(runtime.stop(2)?.aggregations[0]?.rows[0]?.[1], [2]);
  assert.equal(second(1), 2, "it still calls the function");
  assert.equal(runtime.patched, 0);
});

test("methods of what a module binds are replaced where their object has them", () => {
  const runtime = start("fn:lib/db.Pool.query:return { @ = count() }");
  class Pool {
    query(): number {
      return 1;
    }
  }
  const query: unknown = Reflect.get(Pool.prototype, "query");
  assert.equal(bind(runtime, 1, Pool, ["query"]), null);
  assert.equal(new Pool().query(), 1);
  assert.deepEqual(runtime.stop(1)?.aggregations[0]?.rows[0]?.[1], [1]);
  assert.equal(Reflect.get(Pool.prototype, "query"), query);
});

test("of a function that nothing binds only calls are seen, and why is said", () => {
  const names = "fn:lib/db.hidden:entry, fn:lib/db.hidden:return, fn:lib/db.gone:entry";
  const runtime = start(`${names} { @[probe] = count() }`);
  const [hidden, gone] = runtime.lines(1);
  const tell = (id = 0, more: object): void =>
    channel(LINE_CHANNEL).publish({ id, isWanted: false, ...more });
  tell(hidden?.id, { unbound: "it is nowhere" });
  tell(gone?.id, { off: "there is no function gone in the file" });
  assert.ok(run(hidden?.id ?? 0, {}));
  const probes = runtime.stop(1)?.probes ?? [];
  assert.deepEqual(
    probes.map(({ firings }) => firings),
    [1, 0, 0],
  );
  assert.equal(probes[0]?.off, null);
  assert.match(probes[1]?.off ?? "", /it is nowhere: only :entry can be seen/);
  assert.match(probes[2]?.off ?? "", /its module is not loaded: there is no function gone/);
});

test("profile: as often as it is asked, and printa prints what there is", () => {
  const program = "profile:300hz { @n = count(); @k[worker] = count() } end { printa(@k) }";
  const runtime = start(program);
  const [line] = runtime.lines(1);
  const id = line?.id ?? 0;
  assert.equal(line?.hz, 300);
  for (let count = 0; count < 250; count += 1) assert.ok(run(id, {}));
  const snapshot = runtime.stop(1);
  assert.deepEqual(snapshot?.aggregations[0]?.rows[0]?.[1], [250]);
  assert.equal(snapshot.errors, 0);
  assert.match(snapshot.lines.join("\n"), /^@k count {2}in worker 0\n {2}0 +250 /);
});

test("a line without a number is refused", () => {
  const runtime = new TraceRuntime();
  for (const name of ["line:a.js", "line:a.js:0", "line:a.js:x", "line::3"]) {
    const refused = runtime.start(1, { program: `${name} { @ = count() }`, worker: 0 });
    assert.match(refused ?? "", /names no line/, name);
  }
});
