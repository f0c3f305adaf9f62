import assert from "node:assert/strict";
import { test } from "node:test";
import { namesUserProbes, unknownProbes } from "./trace-hints.ts";

const MADE = [{ name: "order:placed" }, { name: "order:paid" }];

test("a probe that the application has not made is said, with the nearest", () => {
  assert.deepEqual(unknownProbes(["user:order:placed", "user:order:*", "http:done"], MADE), []);
  assert.deepEqual(unknownProbes(["user:order:place"], MADE), [
    "the application has made no probe user:order:place so far; did you mean user:order:placed?",
  ]);
  assert.deepEqual(unknownProbes(["user:x"], MADE), [
    "the application has made no probe user:x so far; it has made order:placed, order:paid",
  ]);
  assert.deepEqual(unknownProbes(["user:x"], []), [
    "the application has made no probe user:x so far; it has made none",
  ]);
});

test("a channel that is nearly a known one is said, and no other", () => {
  assert.deepEqual(unknownProbes(["dc:net.client.sockt"], []), [
    "no channel is known as dc:net.client.sockt; did you mean dc:net.client.socket?",
  ]);
  assert.deepEqual(unknownProbes(["dc:http.server.request.start", "dc:shop:sold"], []), []);
});

test("the service is asked for nothing that is not needed", () => {
  assert.equal(namesUserProbes(["http:done", "user:*", "dc:user:x"]), false);
  assert.equal(namesUserProbes(["user:x"]), true);
});
