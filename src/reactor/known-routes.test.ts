import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KnownRoutes } from "./known-routes.ts";

describe("known routes", () => {
  const routes = new KnownRoutes([
    "GET /shops/:name",
    "GET /shops/open",
    "GET /files/*rest",
    "GET /orders/:id",
    "POST (no route)",
    "(other)",
  ]);

  it("are those that requests were counted under", () => {
    const paths = ["/shops/tea?a=1", "/shops/open", "/files/a/b.png", "/orders/42"];
    assert.deepEqual(
      paths.map((path) => routes.of("GET", path)),
      ["GET /shops/:name", "GET /shops/open", "GET /files/*rest", "GET /orders/:id"],
    );
  });

  it("else the path as one of few", () => {
    assert.equal(routes.of("POST", "/shops/tea"), "POST /shops/tea");
    assert.equal(routes.of("GET", "/never/42/seen"), "GET /never/:id/seen");
    assert.equal(routes.of("?", "?"), "? (absolute)");
  });
});
