import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mayAssign, parametersAt } from "./parameters.ts";

const names = (source: string): string[] =>
  parametersAt(source, 0).map(({ name, isRest }) => (isRest ? `...${name}` : name));

describe("parameters from the source", () => {
  it("takes names in order, without defaults", () => {
    assert.deepEqual(names("(a, b = 1, ...rest) { return a }"), ["a", "b", "...rest"]);
    assert.deepEqual(names("() {}"), []);
    assert.deepEqual(names("(a,) {}"), ["a"]);
  });

  it("is not misled by commas and brackets in defaults and comments", () => {
    assert.deepEqual(names("(a = [1, 2], b = f(1, ')'), /* , */ c) {}"), ["a", "b", "c"]);
    assert.deepEqual(names("(a = `,${x}`, // , )\n b) {}"), ["a", "b"]);
  });

  it("shows patterns as they are", () => {
    assert.deepEqual(names("({ id, url }, [first]) {}"), ["{ id, url }", "[first]"]);
  });

  it("knows arrow functions with and without parentheses", () => {
    assert.deepEqual(names("x => x + 1"), ["x"]);
    assert.deepEqual(names("async request => 1"), ["request"]);
    assert.deepEqual(names("(x, y) => 1"), ["x", "y"]);
  });

  it("says when a parameter may have got another value", () => {
    assert.equal(mayAssign("{ value = 1 }", "value"), true);
    assert.equal(mayAssign("{ value++ }", "value"), true);
    assert.equal(mayAssign("{ value >>= 1 }", "value"), true);
    assert.equal(mayAssign("{ [value, other] = pair }", "value"), true);
    assert.equal(mayAssign("{ other.value = 1; return value === 2 }", "value"), false);
    assert.equal(mayAssign("{ return value => value }", "value"), false);
    assert.equal(mayAssign("{ arguments[0] = 2 }", "value"), true);
  });
});
