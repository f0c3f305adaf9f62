import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseLayout } from "./layout.ts";

test("Node before 22 is refused, and a binary without V8; what is known is named", () => {
  // Node 20, 18, and the last V8 before that of Node 22
  for (const version of ["11.3.244.8-node.30", "10.2.154.26-node.36", "12.3.219"]) {
    assert.throws(() => chooseLayout({ version }), {
      code: "ERR_HOLDFAST_AUTOPSY_VERSION",
      message: /its binary has V8 1.* Known are Node 22 \(V8 12\.4\), Node 24 .*, Node 26/u,
    });
  }
  assert.throws(() => chooseLayout({ version: "" }), { message: /no V8 version in it/u });
  assert.equal(chooseLayout({ version: "12.4.254.21-node.33" }).isExact, true);
  assert.equal(chooseLayout({ version: "14.9.1" }).isExact, false);
});
