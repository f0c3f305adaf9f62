/** Traces in the reactor, with workers that are only channels. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { traceRoutes } from "../supervision/trace-routes.ts";
import type { TraceLine } from "../supervision/mod.ts";
import { Traces } from "./traces.ts";
import type { WorkerLink } from "./worker-link.ts";

interface Sent {
  readonly type: string;
  readonly id: number;
}

/** A worker as far as traces know it. */
function worker(id: number, index: number) {
  const sent: Sent[] = [];
  const link = { id, index, isReady: true, send: (message: Sent) => sent.push(message) > 0 };
  // the members that Traces uses
  return { link: link as unknown as WorkerLink & { isReady: boolean }, sent };
}

/** The packets of an answer, in parts of a few bytes. */
function answer(traces: Traces, link: WorkerLink, id: number, value: unknown): void {
  const text = Buffer.from(JSON.stringify(value));
  for (let from = 0; from < text.length; from += 7) {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(id, 0);
    head.writeUInt32LE(from + 7 >= text.length ? 1 : 0, 4);
    traces.receive(link, Buffer.concat([head, text.subarray(from, from + 7)]));
  }
}

function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const workers = [worker(11, 0), worker(12, 1)];
  const links = new Map(workers.map(({ link }) => [link.id, link]));
  const traces = new Traces(links);
  const order = { program: "p", isDestructive: false, budget: 0.02, expiryMs: 60_000 };
  const lines: TraceLine[] = [];
  const gone = new AbortController();
  const read = async (worker: number | null = null): Promise<void> => {
    for await (const line of traces.start(order, worker, gone.signal)) lines.push(line);
  };
  return { traces, workers, links, lines, gone, read };
}

/** Lets what was promised happen. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

const snapshot = (ended: string | null, isSpent = false) => ({
  snapshot: { ended, isSpent, aggregations: [] },
});

test("a trace goes to all workers, is asked each second, ends when all have told", async (t) => {
  const { traces, workers, lines, read } = setUp(t);
  const [first, second] = workers;
  assert.ok(first && second);
  const reading = read();
  await settle();
  assert.deepEqual(lines, [{ type: "started", trace: 1, workers: [0, 1] }]);
  answer(traces, first.link, 1, { error: null });
  t.mock.timers.tick(1000);
  const types = ["trace-start", "trace-pull"];
  assert.deepEqual(
    first.sent.map(({ type }) => type),
    types,
  );
  answer(traces, first.link, 1, snapshot(null));
  t.mock.timers.tick(1000);
  assert.deepEqual(
    first.sent.map(({ type }) => type),
    [...types, "trace-pull"],
  );
  assert.deepEqual(
    second.sent.map(({ type }) => type),
    types,
    "one question at a time",
  );
  await settle();
  assert.deepEqual(lines.at(-1), { type: "round", silent: [1] });
  assert.equal(traces.stop(1), true);
  answer(traces, first.link, 1, snapshot("it was stopped"));
  answer(traces, second.link, 1, snapshot("it was stopped"));
  await reading;
  assert.deepEqual(lines.at(-1), { type: "ended", reason: "it was stopped" });
  assert.equal(traces.stop(1), false);
});

test("a trace whose probes are all turned off, in all workers, ends and says so", async (t) => {
  const { traces, workers, lines, read } = setUp(t);
  const [first, second] = workers;
  assert.ok(first && second);
  const reading = read();
  await settle();
  t.mock.timers.tick(1000);
  answer(traces, first.link, 1, snapshot(null, true));
  answer(traces, second.link, 1, snapshot(null));
  t.mock.timers.tick(1000);
  assert.deepEqual(second.sent.at(-1), { type: "trace-pull", id: 1 }, "the second one goes on");
  answer(traces, second.link, 1, snapshot(null, true));
  assert.equal(second.sent.at(-1)?.type, "trace-stop");
  for (const { link } of workers) answer(traces, link, 1, snapshot("it was stopped", true));
  await reading;
  assert.deepEqual(lines.at(-1), { type: "ended", reason: "every probe of it is turned off" });
});

test("workers that come and go: the new one gets it, the old one is told of", async (t) => {
  const { traces, workers, links, lines, read } = setUp(t);
  const [first, second] = workers;
  assert.ok(first && second);
  const reading = read();
  await settle();
  links.delete(first.link.id);
  traces.gone(first.link);
  const third = worker(13, 0);
  links.set(13, third.link);
  traces.ready(third.link);
  traces.ready(third.link);
  assert.deepEqual(
    third.sent.map(({ type }) => type),
    ["trace-start"],
  );
  await settle();
  assert.deepEqual(lines.at(-1), { type: "gone", worker: 0, id: 11 });
  answer(traces, second.link, 1, snapshot("exit() was called"));
  assert.equal(third.sent.at(-1)?.type, "trace-stop");
  t.mock.timers.tick(2000); // the third one spins
  await reading;
  assert.deepEqual(lines.at(-1), { type: "ended", reason: "exit() was called in worker 1" });
});

test("a client that has gone releases the workers; a program that all refuse ends", async (t) => {
  const { traces, workers, lines, gone, read } = setUp(t);
  const [first, second] = workers;
  assert.ok(first && second);
  const reading = read();
  await settle();
  answer(traces, first.link, 1, { error: "no" });
  answer(traces, second.link, 1, { error: "no" });
  await reading;
  assert.deepEqual(lines.at(-1), { type: "ended", reason: "all refused it" });
  const again = read(0);
  await settle();
  gone.abort();
  await again;
  assert.equal(first.sent.at(-1)?.type, "trace-stop");
  assert.notEqual(second.sent.at(-1)?.id, first.sent.at(-1)?.id);
});

test("its time is over; more than eight at once are refused", async (t) => {
  const { lines, workers, traces, read } = setUp(t);
  const all = Array.from({ length: 8 }, () => read());
  await settle();
  await read();
  assert.deepEqual(lines.at(-1), { type: "ended", reason: "8 traces are on already" });
  t.mock.timers.tick(60_000);
  for (let id = 1; id <= 8; id += 1) {
    for (const { link } of workers) answer(traces, link, id, snapshot("it was stopped"));
  }
  await Promise.all(all);
  assert.deepEqual(lines.at(-1), { type: "ended", reason: "its time is over" });
});

test("probes of all workers, each once; who does not answer is not waited for", async (t) => {
  const { traces, workers } = setUp(t);
  const [first, second] = workers;
  assert.ok(first && second);
  const made = { name: "a", meaning: "", args: [] };
  const asked = traces.probes();
  const id = first.sent.at(-1)?.id ?? 0;
  answer(traces, first.link, id, { probes: [made] });
  answer(traces, second.link, id, { probes: [made, { ...made, name: "b" }] });
  assert.equal((await asked).length, 2);
  const slow = traces.probes();
  answer(traces, first.link, first.sent.at(-1)?.id ?? 0, { probes: [made] });
  t.mock.timers.tick(2000);
  assert.equal((await slow).length, 1);
});

test("what the control socket is asked is checked", async (t) => {
  const { traces } = setUp(t);
  const routes = traceRoutes(traces);
  const post = (body: unknown, route = "POST /v1/trace"): unknown => {
    const { signal } = new AbortController();
    return routes[route]?.({ query: new URLSearchParams(), body, signal });
  };
  for (const [body, message] of [
    [undefined, /must be a JSON object/],
    [{}, /program must be a text/],
    [{ program: "x".repeat(20_000) }, /at most 16384 characters/],
    [{ program: "p", worker: 7 }, /index of a worker that is ready: 0, 1/],
    [{ program: "p", destructive: 1 }, /destructive must be/],
    [{ program: "p", budget: 2 }, /budget must be/],
    [{ program: "p", expiryMs: 1e9 }, /expiryMs must be/],
    [{ program: "p", evil: 1 }, /"evil" is not known here/],
  ] as const) {
    assert.throws(() => post(body), message);
  }
  assert.throws(() => post({ trace: "x" }, "POST /v1/trace/stop"), /must be the number/);
  const portable = traceRoutes(null)["POST /v1/trace"];
  const { signal } = new AbortController();
  const request = { query: new URLSearchParams(), body: { program: "p" }, signal };
  assert.throws(() => portable?.(request), /this service has no traces/);
});
