import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findFunction } from "./find-function.ts";

const SOURCE = `"use strict";
async function price(order, { tax }) {
  return price.call(order);
}
const twice = async (n, by = (2)) => n * by;
const plain = (a, b) => {
  return a;
};
var other = function* inner(x) {};
class Pool {
  static async query(text) { return text; }
  query2() { if (query2()) {} }
}
function $(a) { return a; }
function double() {}
{ function double() {} }
`;

/** The rest of the line where a function's code is said to begin. */
function found(name: string): string {
  const place = findFunction(SOURCE, name);
  if (typeof place === "string") return place;
  return `${SOURCE.split("\n")[place.line]?.slice(place.column)} ${place.values}`;
}

describe("a function in a text", () => {
  const table: [string, string][] = [
    ["price", " { [...arguments]"],
    ["twice", " n * by; []"],
    ["if", "there is no function if in the file"],
    ["plain", " { [a, b]"],
    ["other", " {}; [...arguments]"],
    ["query", " { return text; } [...arguments]"],
    ["query2", " { if (query2()) {} } [...arguments]"],
    ["$", " { return a; } [...arguments]"],
    ["double", "there are 2 functions double in the file"],
    ["none", "there is no function none in the file"],
  ];
  for (const [name, expected] of table) it(name, () => assert.equal(found(name), expected));

  it("whose parentheses do not close is none", () => {
    assert.equal(findFunction("function a(b", "a"), "there is no function a in the file");
  });
});
