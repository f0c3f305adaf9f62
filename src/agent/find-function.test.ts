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
class Price { constructor(rate) {} of(item) { return [item]; } static to(a) { return a; } }
Price.prototype.late = function (a) { return a; };
const table = { row: (b) => b, cell: async function (c) { return c; }, line(d) { return d; } };
class Fields { given = (e) => e; }
plain.plain = (f) => f;
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
    ["of", " { return [item]; } static to(a) { return a; } } [...arguments]"],
    ["to", " { return a; } } [...arguments]"],
    ["late", " { return a; }; [...arguments]"],
    ["row", " b, cell: async function (c) { return c; }, line(d) { return d; } }; [b]"],
    ["cell", " { return c; }, line(d) { return d; } }; [...arguments]"],
    ["line", " { return d; } }; [...arguments]"],
    ["given", " e; } [e]"],
    ["none", "there is no function none in the file"],
  ];
  for (const [name, expected] of table) it(name, () => assert.equal(found(name), expected));

  it("is a member where one was asked for, else a function of the module", () => {
    const source = "class Pool {\n  query(a) { return 1; }\n}\nfunction query(b) {}\n";
    assert.deepEqual(
      [true, false].map((isMember) => {
        const place = findFunction(source, "query", isMember);
        return typeof place === "string" ? place : place.line;
      }),
      [1, 3],
    );
  });

  it("whose parentheses do not close is none", () => {
    assert.equal(findFunction("function a(b", "a"), "there is no function a in the file");
  });
});
