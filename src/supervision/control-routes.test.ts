import assert from "node:assert/strict";
import { test } from "node:test";
import { ControlRequestError } from "./control-http.ts";
import { controlRoutes } from "./control-routes.ts";
import type { ControlledService } from "./control-routes.ts";
import { LineQueue, QUEUE_VALUES_MAX } from "./line-queue.ts";
import type { Status } from "./status.ts";

interface Called {
  readonly service: ControlledService;
  readonly calls: unknown[][];
}

function service(): Called {
  const calls: unknown[][] = [];
  const run = (...call: unknown[]) => {
    calls.push(call);
    return Promise.resolve({ ok: true, message: "done" });
  };
  return {
    calls,
    service: {
      status: () => ({ name: "shop" }) as Status, // only passed through
      reload: (updateEnv, onProgress) => {
        onProgress({ event: "starting", message: "worker 0 starts" });
        return run("reload", updateEnv);
      },
      restart: (index) => run("restart", index),
      scale: (workers) => run("scale", workers),
      stop: (isNow) => run("stop", isNow),
      logPath: "/nonexistent/shop.log",
      latency: null,
      work: null,
      traces: null,
      live: null,
    },
  };
}

async function ask(called: Called, route: string, body: unknown, query = ""): Promise<unknown> {
  const handler = controlRoutes(called.service)[route];
  assert.ok(handler, route);
  const { signal } = new AbortController();
  const answer = await handler({ body, query: new URLSearchParams(query), signal });
  if ("json" in answer) return answer.json;
  assert.ok("lines" in answer, route);
  return collect(answer.lines);
}

const DONE = { done: true, ok: true, message: "done" };

test("each route does its work and streams progress, the end last", async () => {
  const called = service();
  assert.deepEqual(await ask(called, "GET /v1/status", undefined), { name: "shop" });
  const reload = await ask(called, "POST /v1/reload", { updateEnv: { A: "b" } });
  assert.deepEqual(reload, [{ event: "starting", message: "worker 0 starts" }, DONE]);
  assert.deepEqual(await ask(called, "POST /v1/restart", undefined), [DONE]);
  assert.deepEqual(await ask(called, "POST /v1/restart", { worker: 3 }), [DONE]);
  assert.deepEqual(await ask(called, "POST /v1/scale", { workers: 4 }), [DONE]);
  assert.deepEqual(await ask(called, "POST /v1/stop", {}), [DONE]);
  assert.deepEqual(await ask(called, "POST /v1/stop", { now: true }), [DONE]);
  assert.deepEqual(called.calls, [
    ["reload", { A: "b" }],
    ["restart", null],
    ["restart", 3],
    ["scale", 4],
    ["stop", false],
    ["stop", true],
  ]);
});

test("logs of a service that has written none are empty", async () => {
  assert.deepEqual(await ask(service(), "GET /v1/logs", undefined, "lines=5"), []);
});

for (const [route, body, query, expected] of [
  ["POST /v1/reload", [], "", /the body must be a JSON object/],
  ["POST /v1/reload", { updateEnv: { A: 1 } }, "", /updateEnv must be an object of NAME/],
  ["POST /v1/reload", { updateEnv: { "A=B": "" } }, "", /updateEnv must be/],
  ["POST /v1/reload", { updateEnv: { A: "\0" } }, "", /updateEnv must be/],
  ["POST /v1/restart", { worker: -1 }, "", /worker must be a whole number/],
  ["POST /v1/restart", { wroker: 1 }, "", /"wroker" is not known here; allowed: worker/],
  ["POST /v1/scale", undefined, "", /say how many workers/],
  ["POST /v1/scale", { workers: "4" }, "", /workers must be a whole number/],
  ["POST /v1/stop", { now: "yes" }, "", /now must be true or false/],
  ["GET /v1/logs", undefined, "lines=many", /lines must be a number from 0 to/],
  ["GET /v1/logs", undefined, "lines=999999", /lines must be/],
  ["GET /v1/logs", undefined, "follow=yes", /follow must be 0 or 1/],
] as const) {
  test(`${route} refuses ${JSON.stringify(body ?? query)}`, async () => {
    await assert.rejects(ask(service(), route, body, query), (error) => {
      return (
        error instanceof ControlRequestError && error.status === 400 && expected.test(error.message)
      );
    });
  });
}

test("an operation that throws is an operation that failed", async () => {
  const called = service();
  const broken = {
    ...called.service,
    scale: () => Promise.reject(new Error("no descriptors left")),
  };
  const lines = await ask({ ...called, service: broken }, "POST /v1/scale", { workers: 2 });
  assert.deepEqual(lines, [{ done: true, ok: false, message: "no descriptors left" }]);
});

test("a reader that lags loses the oldest lines and is told how many", async () => {
  const queue = new LineQueue<number>();
  for (let value = 0; value < QUEUE_VALUES_MAX + 5; value += 1) queue.push(value);
  queue.end();
  queue.push(-1);
  const values = await collect(queue);
  assert.deepEqual(values.slice(0, 2), [{ lost: 5 }, 5]);
  assert.equal(values.at(-1), QUEUE_VALUES_MAX + 4);
});

test("a reader that is ahead waits", async () => {
  const queue = new LineQueue<string>();
  const all = collect(queue);
  for (const value of ["a", "b"]) {
    await new Promise(setImmediate);
    queue.push(value);
  }
  await new Promise(setImmediate);
  queue.end();
  assert.deepEqual(await all, ["a", "b"]);
});

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}
