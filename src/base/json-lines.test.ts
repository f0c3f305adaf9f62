import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonLines } from "./json-lines.ts";

test("lines come whole, however the chunks are cut", () => {
  const bytes = Buffer.from('{"a":"ä"}\n\n[1]\n"x');
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const lines = new JsonLines(100);
    const values = [...lines.push(bytes.subarray(0, cut)), ...lines.push(bytes.subarray(cut))];
    assert.deepEqual(values, [{ a: "ä" }, [1]]);
    assert.deepEqual(lines.push(Buffer.from('y"\n')), ["xy"]);
  }
});

test("half a line of a writer that died, and a line that is too long, are skipped", () => {
  const lines = new JsonLines(10);
  assert.deepEqual(lines.push(Buffer.from('{"half":\n1\n')), [1]);
  assert.deepEqual(lines.push(Buffer.from(`"${"x".repeat(20)}"\n2\n`)), [2]);
  assert.deepEqual(lines.push(Buffer.from(`"${"x".repeat(20)}`)), []);
  assert.deepEqual(lines.push(Buffer.from(`${"x".repeat(5)}"\n3\n`)), [3]);
});
