import assert from "node:assert/strict";
import { test } from "node:test";
import { entryUrl } from "./entry-url.ts";

test("a spawn edge points to the source from source, and to the output from output", () => {
  const from = (base: string, target: string): string => entryUrl(base, target).href;
  assert.equal(from("file:///a/src/k/m.ts", "../w/p.cts"), "file:///a/src/w/p.cts");
  assert.equal(from("file:///a/dist/k/m.js", "../w/p.cts"), "file:///a/dist/w/p.cjs");
  assert.equal(from("file:///a/dist/k/m.js", "../w/p.mts"), "file:///a/dist/w/p.mjs");
  assert.equal(from("file:///a/dist/k/m.js", "./main.ts"), "file:///a/dist/k/main.js");
});
