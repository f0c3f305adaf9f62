import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { RoutePatterns } from "./route-patterns.ts";

it("patterns that were learned are found for other paths; the more exact one wins", () => {
  const patterns = new RoutePatterns();
  assert.equal(patterns.find("GET", "/users/1"), null);
  assert.equal(patterns.learn("GET", "/users/1", "/users/:id"), true);
  assert.equal(patterns.learn("GET", "/users/2?x", "/users/:id"), false);
  assert.equal(patterns.find("GET", "/users/jo?x=1"), "/users/:id");
  assert.equal(patterns.find("GET", "/users/jo/orders"), null);
  assert.equal(patterns.find("POST", "/users/jo"), null);
  assert.equal(patterns.find("GET", "/users/me"), "/users/:id", "not known better yet");
  assert.equal(patterns.learn("GET", "/users/me", "/users/me"), true);
  assert.equal(patterns.find("GET", "/users/me"), "/users/me");
  patterns.learn("GET", "/files/a/b", "/files/*");
  assert.equal(patterns.find("GET", "/files/x/y/z"), "/files/*");
  patterns.learn("GET", "/at/10-20", "/at/:hour(^\\d{2})-:minute");
  assert.equal(patterns.find("GET", "/at/11-12"), "/at/:hour(^\\d{2})-:minute");
});

it("a path for which patterns alone say another is an exception", () => {
  const patterns = new RoutePatterns();
  patterns.learn("GET", "/a/b", "/a/:first");
  patterns.learn("GET", "/a/c", "/:second/c");
  assert.equal(patterns.find("GET", "/a/b"), "/a/:first");
  assert.equal(patterns.find("GET", "/a/c"), "/:second/c");
});

it("no pattern and no path is too much", () => {
  const patterns = new RoutePatterns();
  fc.assert(
    fc.property(fc.string(), fc.string(), (target, pattern) => {
      patterns.learn("GET", `/${target}`, `/${pattern}`);
      assert.notEqual(patterns.find("GET", `/${target}`), undefined);
    }),
  );
});
