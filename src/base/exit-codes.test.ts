import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { HoldfastError } from "./errors.ts";
import { EXIT_CODES, exitCodeOf } from "./exit-codes.ts";

test("errors end the process with the code of their kind", () => {
  assert.equal(exitCodeOf(new HoldfastError("ERR_HOLDFAST_CONFIG", "")), 64);
  assert.equal(exitCodeOf(new HoldfastError("ERR_HOLDFAST_NAME_IN_USE", "")), 69);
  assert.equal(exitCodeOf(new HoldfastError("ERR_HOLDFAST_RUNTIME_DIR", "")), 73);
  assert.equal(exitCodeOf(new TypeError("a fault of our own")), 70);
});

test("every exit code has a row in the documentation", () => {
  const text = readFileSync(new URL("../../docs/exit-codes.md", import.meta.url), "utf8");
  for (const code of Object.values(EXIT_CODES))
    assert.match(text, new RegExp(`^\\| ${code} \\|`, "m"));
});
