import assert from "node:assert/strict";
import { Session } from "node:inspector";
import type { Runtime } from "node:inspector";
import { after, describe as suite, it } from "node:test";
import { describe } from "./values.ts";

const session = new Session();
session.connect();
after(() => session.disconnect());

/** The value of an expression as V8's inspector tells of it. */
function remote(expression: string): Runtime.RemoteObject {
  let found: Runtime.RemoteObject | undefined;
  const options = { expression: `(${expression})`, generatePreview: true };
  // answered at once in the same thread
  session.post("Runtime.evaluate", options, (error, answer) => {
    assert.equal(error, null);
    found = (answer as Runtime.EvaluateReturnType).result; // there was no error
  });
  assert.ok(found);
  return found;
}

suite("a value as text", () => {
  const table: [string, string][] = [
    ["7", "7"],
    ["-0", "-0"],
    ["10n", "10n"],
    ["undefined", "undefined"],
    ["null", "null"],
    [`"a\\nb"`, `"a\\nb"`],
    ["({ id: 1, name: 'tea' })", `{id: 1, name: "tea"}`],
    ["[1, 'b']", `[1, "b"]`],
    ["function add() {}", "function add"],
    ["() => 1", "function"],
    ["new Map([['a', 1]])", "Map(1) {a => 1}"],
    ["new (class Order { id = 3 })()", "Order {id: 3}"],
    ["new Error('no')", "Error: no"],
    ["({ password: 'x', apiKey: 1 })", "{password: ***, apiKey: ***}"],
    ["new Map([['token', 'abc']])", "Map(1) {token => ***}"],
  ];
  for (const [expression, expected] of table) {
    it(expression, () => assert.equal(describe("value", remote(expression)), expected));
  }

  it("of a secret is not shown", () => {
    assert.equal(describe("sessionToken", remote("'abc'")), "***");
  });

  it("is short, however long the value", () => {
    assert.ok(describe("value", remote("'x'.repeat(100000)")).length < 100);
    const many =
      "Object.fromEntries(Array.from({ length: 5 }, (_, i) => ['k' + i, 'x'.repeat(90)]))";
    assert.ok(describe("value", remote(many)).length <= 200);
  });

  it("runs no code of the application's", () => {
    const state = globalThis as { valueTestRan?: boolean };
    const trap = "globalThis.valueTestRan = true";
    const texts = [
      `({ get id() { ${trap}; return 1 }, toString() { ${trap}; return "" } })`,
      `new Proxy({}, { get() { ${trap} }, ownKeys() { ${trap}; return [] } })`,
    ].map((expression) => describe("value", remote(expression)));
    assert.equal(texts[0], "{id: (getter), toString: function}");
    assert.equal(state.valueTestRan, undefined);
  });
});
