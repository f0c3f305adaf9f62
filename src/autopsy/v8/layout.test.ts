import assert from "node:assert/strict";
import { test } from "node:test";
import { Layout, chooseLayout } from "./layout.ts";
import { LAYOUTS } from "./layouts/all.ts";

test("types that the metadata of each version leaves out have names, and no other's", () => {
  for (const table of LAYOUTS) {
    const layout = new Layout({
      version: `${table.version}.1`,
      constants: new Map(Object.entries(table.metadata)),
      bytecodeSizes: null,
      translationOperands: null,
      hasBreakablePositions: true,
    });
    const array = layout.type("FIXED_ARRAY_TYPE");
    const names = [1, 4, 10].map((distance) => layout.typeName(array + distance));
    assert.deepEqual(names, [
      "HASH_TABLE_TYPE",
      "NAME_DICTIONARY_TYPE",
      "REGISTERED_SYMBOL_TABLE_TYPE",
    ]);
    const vector = layout.type("FEEDBACK_VECTOR_TYPE");
    assert.equal(layout.typeName(vector - 1), "FEEDBACK_METADATA_TYPE");
    assert.equal(layout.typeName(vector + 3), "HOLE_TYPE");
    for (const name of ["BYTE_ARRAY_TYPE", "ACCESS_CHECK_INFO_TYPE", "ACCESSOR_INFO_TYPE"])
      assert.equal(layout.typeName(layout.type(name)), name);
  }
});

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
