import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LatencyTable, OTHER_ROUTE } from "../ledger/mod.ts";
import { ledgerBytes } from "../ledger/layout.ts";
import { Latency } from "./latency.ts";
import type { Response, RoutedRequest } from "./node-internals.ts";
import { RequestClock } from "./request-clock.ts";

const SHAPE = { connectionsMax: 1, workersMax: 1 };
const PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

function start(): { latency: Latency; table: LatencyTable } {
  const table = new LatencyTable(new ArrayBuffer(ledgerBytes(SHAPE)), SHAPE, 0);
  return { latency: new Latency(table), table };
}

/** Series as `GET /a 2xx 3`: name, status, count. */
function shown(table: LatencyTable): string[] {
  return table.read().map(({ name, status, counts }) => {
    return `${name} ${status} ${counts.reduce((sum, count) => sum + count, 0)}`;
  });
}

function get(url: string, more: Partial<RoutedRequest> = {}): RoutedRequest {
  return { method: "GET", url, headers: {}, ...more };
}

describe("a request is counted", () => {
  it("by its path and the first digit of its status", () => {
    const { latency, table } = start();
    for (const url of ["/users/1", "/users/2", "/users/2", "/users/3?x=1"]) {
      latency.ended(get(url), 200, 10, 12, 0);
    }
    latency.ended(get("/users/4"), 503, 10, 11, 0);
    latency.ended(get("/users/4", { method: "POST" }), 999, 10, 11, 0);
    latency.ended(get("/users/4"), 0, 10, 11, 1);
    latency.ended(undefined, 200, 10, 11, 0);
    assert.deepEqual(shown(table), [
      "GET /users/:id 2 4",
      "GET /users/:id 5 1",
      "POST /users/:id 5 1",
      "GET /users/:id 0 1",
      "(other) 2 1",
    ]);
    const [first, , , left] = table.read();
    assert.equal(first?.sumUs, 8000);
    assert.equal(left?.waitedUs, 1000);
  });

  it("by the pattern of its framework", () => {
    const { latency, table } = start();
    const users = { path: "/:id" };
    const at = (baseUrl: string): RoutedRequest => get("/7", { route: users, baseUrl });
    latency.ended(at("/users"), 200, 0, 1, 0);
    latency.ended(at("/users"), 200, 0, 1, 0);
    latency.ended(at("/groups/5"), 200, 0, 1, 0);
    latency.ended(at("/users"), 200, 0, 1, 0);
    latency.ended(get("/x", { route: { path: /^\/x/ } }), 200, 0, 1, 0);
    latency.ended(get("/8", { route: { path: 5 }, originalUrl: "/odd/8" }), 200, 0, 1, 0);
    latency.ended(get("/8", { route: null }), 200, 0, 1, 0);
    const expected = [
      "GET /users/:id 2 3",
      "GET /groups/:id/:id 2 1",
      "GET /^\\/x/ 2 1",
      "GET /odd/:id 2 1",
      "GET /:id 2 1",
    ];
    assert.deepEqual(shown(table), expected);
  });

  it("by a pattern that was learned, also where its path was known before", () => {
    const { latency, table } = start();
    latency.ended(get("/blog/one"), 200, 0, 1, 0);
    latency.learnRoute("GET", "/blog/one", "/blog/:slug");
    latency.ended(get("/blog/one"), 200, 0, 1, 0);
    latency.ended(get("/blog/two"), 404, 0, 1, 0);
    assert.deepEqual(shown(table), [
      "GET /blog/one 2 1",
      "GET /blog/:slug 2 1",
      "GET /blog/:slug 4 1",
    ]);
  });

  it("under few names, whatever clients ask for", () => {
    const { latency, table } = start();
    for (let path = 0; path < 3000; path += 1) {
      const word = `w${"x".repeat(path % 30)}${String.fromCharCode(97 + (path % 26))}`;
      latency.ended(get(`/no/${word}`), 404, 0, 1, 0);
      latency.ended(get(`/yes/${path}y/${word}`), 200, 0, 1, 0);
    }
    const names = table.read().map(({ name }) => name);
    assert.ok(names.length <= 102, `${names.length} names`);
    assert.ok(names.includes("GET (no route)") && names.includes(OTHER_ROUTE));
  });

  it("with a trace that can be looked up, once a second", () => {
    const { latency, table } = start();
    const traced = (parent: string): RoutedRequest =>
      get("/", { headers: { traceparent: parent } });
    latency.ended(get("/"), 200, 1000, 1001, 0);
    latency.ended(traced(PARENT), 200, 1000, 1002, 0);
    assert.equal(table.read()[0]?.exemplar, null, "looked for just before");
    latency.ended(traced("nonsense"), 200, 2000, 2010, 0);
    latency.ended(traced(PARENT), 200, 4000, 4005, 0);
    latency.ended(traced(PARENT.replaceAll("b7", "c8")), 200, 4000, 4006, 0);
    const exemplar = table.read()[0]?.exemplar;
    assert.equal(exemplar?.traceId, PARENT.slice(3, 35));
    assert.equal(exemplar.spanId, PARENT.slice(36, 52));
    assert.equal(exemplar.us, 5000);
  });
});

describe("the clock of a connection", () => {
  const response = (url: string): Response => {
    return Object.assign({} as Response, { req: get(url), statusCode: 200 }); // all that is read
  };
  /** Name and milliseconds of each request counted. */
  const times = (table: LatencyTable): string[] =>
    table.read().map(({ name, status, sumUs }) => `${name} ${status} ${sumUs / 1000}`);

  it("counts from the first byte, and what lay in the kernel", () => {
    const { latency, table } = start();
    const clock = new RequestClock(latency);
    clock.arrived(100, 40);
    clock.read(110); // the rest of the head
    clock.began(true);
    clock.ended(response("/a"), 120);
    clock.arrived(200, 0);
    clock.began(true);
    clock.flushed(230);
    clock.ended(response("/b"), 290); // seen late
    assert.deepEqual(times(table), ["GET /a 2 60", "GET /b 2 30"]);
    assert.equal(table.read()[0]?.waitedUs, 40_000);
    assert.equal(table.read()[1]?.waitedUs, 0);
  });

  it("tells pipelined requests apart, and those whose client leaves", () => {
    const { latency, table } = start();
    const clock = new RequestClock(latency);
    clock.arrived(100, 0);
    clock.began(true);
    clock.began(false);
    clock.read(130);
    clock.began(false);
    clock.ended(response("/a"), 150);
    clock.ended(response("/b"), 160);
    clock.left(response("/c"), 170);
    clock.read(200);
    clock.began(true);
    clock.left(null, 205);
    assert.deepEqual(times(table), ["GET /a 2 50", "GET /b 2 60", "GET /c 0 40", "(other) 0 5"]);
  });
});
