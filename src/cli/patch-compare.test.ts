import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compareSources } from "./patch-compare.ts";

const FILE = `#!/usr/bin/env node
"use strict";
const rate = 2;
function price(n) { return n * rate; }
const twice = async (n) => price(n) * 2; // a comment
class Shop {
  static #count = 0;
  sell(n) { return price(n); }
  get [rate]() { return 1; }
  static async open() { return new Shop(); }
}
exports.make = function () {
  return { next() { return 1; }, last: () => 2 };
};
`;

/** Names of what differs, or why that is refused. */
function changed(from: string, to: string): string {
  assert.ok(FILE.includes(from), from);
  const result = compareSources(FILE, FILE.replace(from, to), false);
  if (result.refused !== null) return result.refused;
  return result.functions.map(({ name, line }) => `${name}:${line}`).join(" ");
}

describe("what differs between two files", () => {
  const inside: [string, string, string][] = [
    ["n * rate", "n * 3", "price:4"],
    ["price(n) * 2", "price(n) * 3", "twice:5"],
    ["return price(n)", "return 5", "Shop.sell:8"],
    ["return new Shop()", "return null", "Shop.open:10"],
    ["return 1; },", "return 3; },", "next:13"],
    ["() => 2", "() => 3", "last:13"],
    ["() => 2", "(a) => 2", "last:13"],
    ["last: () => 2", "last: () => 2, more: () => 3", "exports.make:12"],
    ["function price(n)", "\n\n// more\nfunction  price( n )", ""],
    ["{ return n * rate; }", "{\n  return n * 4;\n}", "price:4"],
  ];
  for (const [from, to, expected] of inside) {
    it(`${from} -> ${JSON.stringify(to)}`, () => assert.equal(changed(from, to), expected));
  }

  const outside: [string, string, RegExp][] = [
    ["rate = 2", "rate = 3", /outside of functions differs at line 3/],
    ["function price(n)", "function cost(n)", /outside of functions differs at line 4/],
    ["async (n)", "(n)", /outside of functions differs at line 5/],
    ["#count = 0", "#count = 1", /outside of functions differs at line 7/],
    ["static async open", "async open", /outside of functions differs at line 10/],
    ["exports.make", "function more() {}\nexports.make", /outside of functions differs at line 12/],
    ["return n * rate", "return n *", /cannot be parsed: Unexpected token/],
  ];
  for (const [from, to, expected] of outside) {
    it(`refuses ${from} -> ${to}`, () => assert.match(changed(from, to), expected));
  }

  it("merges: nothing but functions differs from the old text", () => {
    const after = FILE.replace("n * rate", "n * 3").replace("// a comment", "// another\n\n\n");
    const result = compareSources(FILE, after, false);
    assert.ok(result.refused === null);
    assert.equal(result.merged, FILE.replace("n * rate", "n * 3"));
    const [{ rebind, ...first } = { rebind: "" }] = result.functions;
    assert.ok(typeof rebind === "string");
    assert.match(rebind, /the file calls it by its name, in line \d+/);
    assert.deepEqual(first, {
      name: "price",
      line: 4,
      before: "function price(n) { return n * rate; }",
      after: "function price(n) { return n * 3; }",
    });
  });

  it("knows modules from CommonJS", () => {
    const text = "export const a = await b();";
    assert.equal(compareSources(text, text, true).refused, null);
    assert.match(
      compareSources(text, text, false).refused ?? "",
      /what is loaded cannot be parsed/,
    );
    assert.equal(compareSources("return 1", "return 1", false).refused, null);
  });
});
