import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { HoldfastError } from "../../base/mod.ts";
import { parseExpression, runExpression } from "./expression.ts";
import { addressesOf, jsonOf } from "./result.ts";
import type { Result, TableResult } from "./result.ts";
import type { Session } from "./session.ts";

const TABLE: TableResult = {
  kind: "table",
  columns: [
    { name: "class", kind: "text" },
    { name: "count", kind: "count" },
    { name: "example", kind: "address" },
  ],
  rows: [
    ["Map", 3, 0x1000],
    ["Set", 12, 0x2000],
    ["Socket", 7, null],
  ],
  more: 0,
  remarks: [],
};

/** Filters need nothing of the session but its doubts. */
function filtered(expression: string): Promise<Result> {
  const known = new Map<string, Result>([["$1", TABLE]]);
  const session = { doubts: [] as readonly string[] } as Session;
  return runExpression(session, parseExpression(`$1 | ${expression}`), undefined, known);
}

async function names(expression: string): Promise<readonly unknown[]> {
  const result = await filtered(expression);
  assert.ok(result.kind === "table");
  return result.rows.map(([name]) => name);
}

describe("an expression", () => {
  it("is taken apart into verbs, words and flags", () => {
    const [find, print] = parseExpression(
      `find "a class" --property=x --value 'y z' --limit 3 | print --depth 1`,
    );
    assert.deepEqual(find, {
      name: "find",
      words: ["a class"],
      flags: { property: "x", value: "y z", limit: "3" },
    });
    assert.deepEqual(print, { name: "print", words: [], flags: { depth: "1" } });
  });

  it("that is wrong says what would be right", () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ["stack", /Did you mean stacks\?/],
      ["find 'x", /has no end/],
      ["find x y", /find does not know what to do with "y"; words that belong together are quoted/],
      ["requests x", /requests does not know what to do with "x"/],
      ["find x '|' print", /a pipe is one argument, in quotes: 'find \| \.\.\.'/],
      ["find x |", /a part of the pipe is empty/],
      ["| find x", /a part of the pipe is empty/],
      ["stacks --nothing", /does not know --nothing; it has --all, --full/],
      ["find x --limit", /--limit needs a value: <n>/],
      ["find x --json | print", /behind the whole expression; in the shell it is `\| json`/],
      ['find "x', /a quote at "\\"x" has no end/],
    ];
    for (const [text, message] of cases) {
      assert.throws(() => parseExpression(text), { code: "ERR_HOLDFAST_USAGE", message });
    }
  });

  it("is read however it is spaced and quoted", () => {
    const words = (text: string): unknown => parseExpression(text).map((stage) => stage.words);
    assert.deepEqual(words("  find\tSocket  |print   0x1000 "), [["Socket"], ["0x1000"]]);
    assert.deepEqual(words(`grep 'a|b' "c | d"`), [["a|b", "c | d"]]);
    assert.deepEqual(words(String.raw`grep "say \"no\" \\"`), [['say "no" \\']]);
    assert.deepEqual(words(`grep '' ""`), [["", ""]]);
    assert.deepEqual(words("$1|count"), [[], []]);
    const [find] = parseExpression("find --property=a=b --value '--limit' x");
    assert.deepEqual([find?.words, find?.flags], [["x"], { property: "a=b", value: "--limit" }]);
  });

  it("of any characters is read, or refused as misuse", () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 8 }),
      fc.constantFrom(
        "find",
        "objects",
        "|",
        "'",
        '"',
        "\\",
        " ",
        "\t",
        "--limit",
        "=",
        "$1",
        "$_",
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          const stages = parseExpression(pieces.join(""));
          assert.ok(stages.length > 0 && stages.every(({ name }) => name !== ""));
        } catch (error) {
          assert.ok(error instanceof HoldfastError, String(error));
          assert.equal(error.code, "ERR_HOLDFAST_USAGE");
        }
      }),
    );
  });

  it("has each word as it was given, when that is quoted", () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 5 }), (words) => {
        const quoted = words.map((word) => `"${word.replaceAll(/["\\]/g, "\\$&")}"`);
        const [stage] = parseExpression(["grep", ...quoted].join(" "));
        assert.deepEqual(stage?.words, words);
      }),
    );
  });

  it("filters rows", async () => {
    assert.deepEqual(await names("where count > 5"), ["Set", "Socket"]);
    assert.deepEqual(await names("where class = Map"), ["Map"]);
    assert.deepEqual(await names("where class != Map"), ["Set", "Socket"]);
    assert.deepEqual(await names("where class ~ oc"), ["Socket"]);
    assert.deepEqual(await names("where count <= 7"), ["Map", "Socket"]);
    assert.deepEqual(await names("grep s"), ["Set", "Socket"]);
    assert.deepEqual(await names("sort count"), ["Set", "Socket", "Map"]);
    assert.deepEqual(await names("sort COUNT"), ["Set", "Socket", "Map"]); // as its head has it
    assert.deepEqual(await names("sort class | head 2"), ["Map", "Set"]);
    assert.deepEqual(await names("tail 1"), ["Socket"]);
    assert.equal(jsonOf(await filtered("head 1 | count")), 3);
    await assert.rejects(filtered("where size > 1"), /there is class, count, example/);
    await assert.rejects(filtered("where count is 1"), /where knows =/);
    await assert.rejects(filtered("where count >"), /where takes a column, .* and a value/);
    assert.deepEqual(await names('where class != ""'), ["Map", "Set", "Socket"]);
    await assert.rejects(filtered("head many"), /takes a whole number/);
  });

  it("gives the next verb the objects of a table", () => {
    assert.deepEqual(addressesOf(TABLE), [0x1000, 0x2000]);
    assert.deepEqual(jsonOf(TABLE), {
      rows: [
        { class: "Map", count: 3, example: "0x1000" },
        { class: "Set", count: 12, example: "0x2000" },
        { class: "Socket", count: 7, example: null },
      ],
      more: 0,
      remarks: [],
    });
  });
});
