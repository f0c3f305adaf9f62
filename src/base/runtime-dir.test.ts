import assert from "node:assert/strict";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { NAME_PATTERN, controlSocketPath, runtimeDirectory } from "./runtime-dir.ts";

test("the runtime directory: named, the session's, root's, the temporary one", () => {
  const named = { HOLDFAST_RUNTIME_DIR: "/a", XDG_RUNTIME_DIR: "/b" };
  assert.equal(runtimeDirectory(named, 7), "/a");
  assert.equal(runtimeDirectory({ XDG_RUNTIME_DIR: "/b" }, 7), "/b/holdfast");
  assert.equal(runtimeDirectory({ XDG_RUNTIME_DIR: "b" }, 0), "/run/holdfast");
  assert.equal(runtimeDirectory({}, 7), path.join(os.tmpdir(), "holdfast-7"));
  assert.equal(controlSocketPath("/a", "shop"), "/a/shop.sock");
});

test("names cannot leave the directory", () => {
  for (const name of ["shop", "shop.v2", "a-b_c", "7"]) assert.match(name, NAME_PATTERN);
  for (const name of ["", ".", "..", "../a", "a/b", "-a", "a b", "a".repeat(65), "ä"]) {
    assert.doesNotMatch(name, NAME_PATTERN, name);
  }
});
