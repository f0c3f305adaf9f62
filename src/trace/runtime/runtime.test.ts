/** The runtime in a process: what fires, what it costs at most, and that nothing is left of it. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import fs from "node:fs";
import * as fsNames from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { Writable } from "node:stream";
import { after, test } from "node:test";
import type { TraceSnapshot } from "../merge.ts";
import { probe } from "../probe.ts";
import { Site } from "../site.ts";
import { compileProgram } from "../compile.ts";
import { checkingHost } from "../host.ts";
import { Patches, onSettled } from "./patches.ts";
import type { Layer } from "./patches.ts";
import { TraceRuntime } from "./runtime.ts";

/** Every place that a provider may touch, as property descriptors. */
function places(): readonly (PropertyDescriptor | undefined)[] {
  const of = (object: object, ...keys: string[]) =>
    keys.map((key) => Object.getOwnPropertyDescriptor(object, key));
  return [
    ...of(globalThis, "setTimeout", "setInterval", "setImmediate"),
    ...of(fs, "readFile", "readFileSync", "statSync"),
    ...of(fs.promises, "readFile"),
    ...of(EventEmitter.prototype, "emit"),
    ...of(Writable.prototype, "write"),
    ...of(JSON, "stringify"),
    ...of(Map.prototype, "get"),
    ...of(Array.prototype, "slice"),
    Object.getOwnPropertyDescriptor({ value: fsNames.readFileSync }, "value"),
  ];
}

const before = places();
after(() => {
  assert.deepEqual(places(), before);
});

function trace(program: string, run: () => void, isDestructive = false): TraceSnapshot {
  const runtime = new TraceRuntime();
  const refused = runtime.start(1, { program, worker: 3, budget: 1, isDestructive });
  assert.equal(refused, null);
  try {
    run();
  } finally {
    runtime.snapshot(1);
  }
  const snapshot = runtime.stop(1);
  assert.ok(snapshot);
  assert.equal(runtime.patched, 0);
  assert.deepEqual(places(), before, program);
  return snapshot;
}

function rows({ aggregations }: TraceSnapshot, name = ""): Readonly<Record<string, number>> {
  const found = aggregations.find((each) => each.name === name);
  return Object.fromEntries(found?.rows.map(([keys, [value = 0]]) => [keys.join(), value]) ?? []);
}

test("fn: entry, return, arguments, what was thrown, and the function is itself again", () => {
  const snapshot = trace(
    "fn:JSON.parse:entry { @in[arg0] = count() }" +
      " fn:JSON.parse:return /thrown/ { @[str(thrown)] = count() }" +
      " fn:JSON.parse:return { @sum = sum(retval) }",
    () => {
      assert.equal(JSON.parse("7"), 7);
      assert.throws(() => JSON.parse("{"), SyntaxError);
    },
  );
  assert.deepEqual(rows(snapshot, "in"), { "7": 1, "{": 1 });
  assert.deepEqual(rows(snapshot, "sum"), { "": 7 });
  assert.match(Object.keys(rows(snapshot)).join(), /^SyntaxError: /);
});

test("fn: a function that clauses use themselves does not call itself for ever", () => {
  const program =
    "fn:Map.prototype.get:entry, fn:Array.prototype.slice:entry, fn:Array.prototype.map:entry," +
    " fn:Array.prototype.join:return, fn:String.prototype.slice:entry, fn:Reflect.apply:entry " +
    '{ @[probe, str(arg0)] = count(); this.x = 1; printf("%s", this.x) }';
  const snapshot = trace(program, () => {
    new Map([[1, 2]]).get(1);
    Array.from([1]).slice(0);
  });
  assert.equal(rows(snapshot)["fn:Map.prototype.get:entry,1"], 1);
  assert.equal(rows(snapshot)["fn:Array.prototype.slice:entry,0"], 1);
});

test("fn: what is not there, is a class, or is frozen is said, not thrown", () => {
  Object.defineProperty(globalThis, "hfFrozen", {
    value: Object.freeze({ run: () => 1 }),
    configurable: true,
  });
  const program =
    "fn:JSON.strngify:entry, fn:fs.nowhere:return, fn:hfFrozen.run:entry," +
    " fn:URL.prototype.constructor:entry" +
    " { @ = count() }";
  const { probes } = trace(program, () => undefined);
  Reflect.deleteProperty(globalThis, "hfFrozen");
  const [typo, absent, frozen, made] = probes.map(({ off }) => off);
  assert.match(typo ?? "", /there is no function JSON\.strngify.*Did you mean stringify\?/);
  assert.match(absent ?? "", /no function fs\.nowhere in this worker, or its module is not loaded/);
  assert.match(frozen ?? "", /neither writable nor configurable/);
  assert.match(made ?? "", /is a class/);
});

test("fn: an unhandled rejection stays unhandled, and the value comes", async () => {
  const seen: unknown[] = [];
  const failing = Promise.reject(new Error("x"));
  const behind = onSettled(failing, (_value, thrown) => seen.push(thrown));
  await assert.rejects(behind as Promise<unknown>, /x/);
  const fine = onSettled(Promise.resolve(5), (value) => seen.push(value));
  assert.equal(await (fine as Promise<unknown>), 5);
  assert.deepEqual(seen.map(String), ["Error: x", "5"]);
});

test("raise makes the function throw, once for each call, and only while it is on", () => {
  trace(
    'fn:JSON.stringify:entry /arg0 == 13/ { raise("unlucky") }',
    () => {
      assert.equal(JSON.stringify(12), "12");
      assert.throws(() => JSON.stringify(13), /unlucky/);
      assert.equal(JSON.stringify(14), "14");
    },
    true,
  );
  assert.equal(JSON.stringify(13), "13");
});

test("files, emitters, timers and streams fire, in ES modules too", () => {
  const program =
    "fs:done { @fs[op] = count(); @failed[str(thrown)] = count() }" +
    " emitter:done { @event[class, event] = count() }" +
    " timers:set { @timer[kind, delay] = count() }" +
    " stream:write { @bytes[class] = sum(bytes) }";
  class Sink extends Writable {
    override _write(_chunk: unknown, _encoding: string, done: () => void): void {
      done();
    }
  }
  const snapshot = trace(program, () => {
    fsNames.readFileSync(import.meta.filename);
    assert.throws(() => fs.statSync("/nowhere"));
    class Shop extends EventEmitter {}
    new Shop().emit("order");
    clearTimeout(setTimeout(() => undefined, 777));
    new Sink().write("12345");
  });
  assert.equal(rows(snapshot, "fs")["readFileSync"], 1);
  assert.match(Object.keys(rows(snapshot, "failed")).join(), /ENOENT/);
  assert.equal(rows(snapshot, "event")["Shop,order"], 1);
  assert.equal(rows(snapshot, "timer")["setTimeout,777"], 1);
  assert.equal(rows(snapshot, "bytes")["Sink"], 5);
  syncBuiltinESMExports();
});

test("probe(): heard by its name and by a glob; off it is off", () => {
  const placed = probe("runtime-test:placed", { meaning: "an order", args: ["id", "total"] });
  assert.equal(placed.isEnabled, false);
  const program =
    "user:runtime-test:placed { @[arg0] = sum(arg1) } user:runtime-test:* { @n = count() }";
  const snapshot = trace(program, () => {
    assert.equal(placed.isEnabled, true);
    placed("o-1", 20);
    placed("o-1", 22);
  });
  assert.equal(placed.isEnabled, false);
  assert.deepEqual(rows(snapshot), { "o-1": 42 });
  assert.deepEqual(rows(snapshot, "n"), { "": 2 });
  const listed = new TraceRuntime().probes().find(({ name }) => name === "runtime-test:placed");
  assert.deepEqual(listed, {
    name: "runtime-test:placed",
    meaning: "an order",
    args: ["id", "total"],
  });
  assert.throws(() => probe("a b"), /Cannot make a probe named "a b"/);
});

test("two traces at once share one replacement; each ends for itself", () => {
  const runtime = new TraceRuntime();
  const program = "fn:JSON.stringify:entry { @ = count() }";
  assert.equal(runtime.start(1, { program, worker: 0 }), null);
  assert.equal(runtime.start(2, { program, worker: 0 }), null);
  assert.equal(runtime.patched, 1);
  JSON.stringify(1);
  assert.deepEqual(rows(runtime.stop(1) as TraceSnapshot), { "": 1 });
  JSON.stringify(2);
  assert.deepEqual(rows(runtime.stop(2) as TraceSnapshot), { "": 2 });
  assert.deepEqual([runtime.patched, runtime.stop(2), runtime.snapshot(7)], [0, null, null]);
  for (let id = 10; id < 18; id += 1) assert.equal(runtime.start(id, { program, worker: 0 }), null);
  assert.match(runtime.start(18, { program, worker: 0 }) ?? "", /8 traces are on/);
  for (let id = 10; id < 18; id += 1) runtime.stop(id);
  assert.match(runtime.start(1, { program: "nonsense {}", worker: 0 }) ?? "", /there is no probe/);
});

test("what the application has replaced meanwhile stays replaced", () => {
  const patches = new Patches();
  const layer: Layer = (next) => next;
  const shop = { buy: () => 1 };
  const original = shop.buy;
  const undo = patches.add(shop, "buy", layer);
  assert.ok(typeof undo === "function");
  const traced = shop.buy;
  const own = (): number => traced() + 1;
  shop.buy = own;
  undo();
  assert.equal(shop.buy, own);
  assert.equal(shop.buy(), 2);
  assert.notEqual(traced, original);
});

test("lines, keys and variables are bounded, and what is dropped is counted", () => {
  const program =
    'fn:JSON.stringify:entry { @[arg0] = count(); printf("%s", arg0); } ' +
    "begin { this.a = 1 } end { print(probe) }";
  const snapshot = trace(program, () => {
    for (let index = 0; index < 1500; index += 1) JSON.stringify(index);
  });
  const [aggregation] = snapshot.aggregations;
  assert.deepEqual([aggregation?.rows.length, aggregation?.drops], [1000, 500]);
  assert.deepEqual([snapshot.drops, snapshot.lines], [500, ["end"]]);
});

test("a trace is spent when every probe that waits for something is turned off", () => {
  const runtime = new TraceRuntime();
  const program =
    "fn:JSON.stringify:entry { @a = uniq(arg0) } dc:never { @b = count() } tick:1s { print(1) }";
  const request = { worker: 0, budget: 1e-9 };
  const only = program.replace("dc:never { @b = count() } ", "");
  assert.equal(runtime.start(1, { program, ...request }), null);
  assert.equal(runtime.start(2, { program: only, ...request }), null);
  assert.equal(runtime.snapshot(2)?.isSpent, false);
  const end = performance.now() + 10_000;
  while (runtime.snapshot(2)?.isSpent !== true && performance.now() < end) {
    for (let index = 0; index < 10_000; index += 1) JSON.stringify(index);
  }
  const [first, second] = [runtime.stop(1), runtime.stop(2)];
  assert.equal(second?.isSpent, true, "the tick does not count");
  assert.match(first?.probes[0]?.off ?? "", /of the time/);
  assert.equal(first?.isSpent, false, "the channel may still tell something");
});

test("a probe over its budget is turned off, and says so; one slow firing is no reason", () => {
  let time = 0;
  let costMs = 0;
  const host = { ...checkingHost(), elapsed: () => (time += costMs) };
  const { clauses } = compileProgram("http:done /elapsed >= 0/ {}", host, { isDestructive: false });
  const [clause] = clauses;
  assert.ok(clause);
  const gate = { isClosed: false };
  const owner = {
    gate,
    budget: 0.02,
    now: () => time,
    fault: (error: unknown) => assert.fail(String(error)),
  };
  const site = new Site(clause, owner);
  const fire = (count: number): void => {
    for (let index = 0; index < count; index += 1) {
      site.fire();
      time += 0.1; // 10,000 a second
    }
  };
  fire(20_000);
  costMs = 50;
  fire(64);
  costMs = 0;
  fire(20_000);
  assert.equal(site.off, null);
  costMs = 0.005; // 5 %, until V8 has compiled it
  fire(5000);
  costMs = 0;
  fire(20_000);
  assert.equal(site.off, null);
  costMs = 0.02;
  fire(20_000);
  assert.match(site.off ?? "", /it took \d+\.\d% of the time, more than 2\.0%/);
  const { firings } = site;
  fire(10);
  assert.equal(site.firings, firings);
});
