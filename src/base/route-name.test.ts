import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { patternText, routeOfPath } from "./route-name.ts";

it("a path becomes one of few, and stays what a programmer would call it", () => {
  const cases: Readonly<Record<string, string>> = {
    "/": "/",
    "/v1/items": "/v1/items",
    "/users/42/orders/7?x=1": "/users/:id/orders/:id",
    "/a/9f86d081-884c-4d63-a1b2-0015ad0a8c08": "/a/:id",
    "/a/507f1f77bcf86cd799439011/b": "/a/:id/b",
    "/assets/app.3f2a9c1b.js": "/assets/app.:id.js",
    "/deadbeef/feedback": "/deadbeef/feedback",
    "/d/2026-11-21": "/d/:id",
    "/u/jo@example.com": "/u/:id",
    "/u/J%C3%BCrgen": "/u/:id",
    "/t/eyJhbGciOiJIUzI1NiJ9AAA": "/t/:id",
    "/blog/how-to-win": "/blog/how-to-win",
    "/a//b/": "/a//b/",
    "/1/2/3/4/5/6/7/8/9/10": "/:id/:id/:id/:id/:id/:id/:id/:id/...",
    "*": "*",
    "http://other/host": "(absolute)",
    "/search#frag": "/search",
    [`/${"x".repeat(50)}`]: "/:id",
    "/oauth2/s3/ipv6": "/oauth2/s3/ipv6",
  };
  for (const [target, route] of Object.entries(cases)) {
    assert.equal(routeOfPath(target), route, target);
  }
});

it("the name of any target is short", () => {
  fc.assert(fc.property(fc.string(), (text) => routeOfPath(`/${text}`).length < 9 * 45));
  fc.assert(fc.property(fc.webPath(), (path) => routeOfPath(path).length < 9 * 45));
});

it("patterns of a framework are texts", () => {
  assert.equal(patternText("/users/:id"), "/users/:id");
  assert.equal(patternText(/^\/a/), "/^\\/a/");
  assert.equal(patternText(["/a", /b/]), "/a | /b/");
  assert.equal(patternText(["/a", 3]), null);
  assert.equal(patternText(undefined), null);
});
