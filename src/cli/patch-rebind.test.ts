import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compileFunction } from "node:vm";
import { parse } from "acorn";
import { rebindText } from "./patch-rebind.ts";

const FILE = `"use strict";
const { join, sep: mark } = require("node:path");
const rate = 3;
const made = Date.now();
let count = 0;
function plain(a) { return join(String(a), mark) + rate; }
async function own(n) { const rate = 1; for (const made of [n]) await made; return rate; }
function counts() { count += 1; }
function dated() { return made; }
const arrow = () => this;
const called = (n) => n;
function caller() { return called(1); }
class Shop { sell() { return rate; } tied() { return super.sell(); } get price() { return 1; } }
exports.direct = (n) => n + rate;
module.exports = { plain, make() { return () => 1; } };
`;
const PROGRAM = parse(FILE, { ecmaVersion: "latest", sourceType: "commonjs" });

/** What becomes of the function whose text contains this. */
function rebound(inner: string, before: string): ReturnType<typeof rebindText> {
  const at = FILE.lastIndexOf(before, FILE.indexOf(inner));
  return rebindText(PROGRAM, FILE, at);
}

function textOf(result: ReturnType<typeof rebindText>): string {
  return typeof result === "string" ? result : result.code;
}

describe("functions that can be made anew outside of their file", () => {
  it("use globals, what is required, and constants", () => {
    const plain = rebound("join(String", "function plain");
    assert.ok(typeof plain !== "string", textOf(plain));
    assert.equal(plain.line, 6);
    const params = ["exports", "require", "module", "__filename", "__dirname"];
    const make = compileFunction(plain.code, params) as (...given: unknown[]) => unknown; // so
    const result: unknown = make({}, (id: string) => process.getBuiltinModule(id), {}, "", "");
    assert.equal((result as (a: number) => string)(1), "1/3"); // a function, as above
  });

  it("are refused where the file alone has what they use", () => {
    const cases: [string, string, RegExp][] = [
      ["count += 1", "function counts", /it uses count, which only/],
      ["return made;", "function dated", /it uses made, which only/],
      ["=> this", "() =>", /it uses this/],
      ["=> n;", "(n) =>", /the file calls it by its name, in line 12/],
      ["super.sell", "() {", /it uses super/],
      ["get price", "class", /made by another function/],
      ["() => 1", "() => 1", /made by another function/],
    ];
    for (const [inner, before, reason] of cases) {
      assert.match(textOf(rebound(inner, before)), reason, inner);
    }
  });

  it("may have names of their own", () => {
    assert.equal(typeof rebound("for (const made", "async function"), "object");
    assert.equal(typeof rebound("n + rate", "(n) =>"), "object");
    const sell = rebound("return rate; } tied", "() {");
    assert.ok(typeof sell !== "string", textOf(sell));
    assert.equal(sell.member, "sell");
  });
});
