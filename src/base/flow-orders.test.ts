import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deadlineOf, pipeLimits } from "./flow-orders.ts";

const orders = {
  deadlineMs: 1000,
  deadlinesMs: { "GET /reports/*": 10_000, "/reports/daily": 5000, "/exact": 7, "POST /*": 2000 },
};

describe("the deadline of a request", () => {
  for (const [method, url, ms] of [
    ["GET", "/reports/daily", 10_000], // the first that fits
    ["PUT", "/reports/daily", 5000],
    ["GET", "/exact?with=query", 7],
    ["GET", "/exact/not", 1000],
    ["POST", "/anything", 2000],
    ["GET", "/", 1000],
  ] as const) {
    it(`is ${ms} ms for ${method} ${url}`, () => {
      assert.equal(deadlineOf({ method, url }, orders), ms);
    });
  }

  it("is none where none is said", () => {
    assert.equal(deadlineOf({ method: "GET", url: "/" }, { deadlineMs: 0, deadlinesMs: {} }), null);
  });
});

describe("limits of pipes", () => {
  const orders = { gate: "off", deadlineMs: 0, deadlinesMs: {} } as const;
  for (const [pipeStallMs, pipeDestroyMs, limits] of [
    [0, 0, null],
    [5, 0, { stallMs: 5, destroyMs: Number.POSITIVE_INFINITY }],
    [0, 7, { stallMs: 7, destroyMs: 7 }],
    [5, 7, { stallMs: 5, destroyMs: 7 }],
    [9, 7, { stallMs: 9, destroyMs: 9 }],
  ] as const) {
    it(`of ${pipeStallMs} and ${pipeDestroyMs} ms`, () => {
      assert.deepEqual(pipeLimits({ ...orders, pipeStallMs, pipeDestroyMs }), limits);
    });
  }
});
