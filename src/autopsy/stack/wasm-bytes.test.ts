import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { WasmBytes } from "./wasm-bytes.ts";

const HEAD = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const section = (id: number, bytes: readonly number[]): number[] => [id, bytes.length, ...bytes];
const text = (name: string): number[] => [name.length, ...Buffer.from(name)];
/** One of each kind: function, table, a table of references, memory, global, tag, function. */
const KINDS = [
  [0, 0],
  [1, 0x70, 0, 1],
  [1, 0x63, 0x70, 1, 1, 2],
  [2, 1, 1, 0x80, 0x01],
  [3, 0x7f, 0],
  [4, 0, 0],
  [0, 0],
];
const IMPORTS = KINDS.flatMap((kind) => [...text("a"), ...text("b"), ...kind]);
const NAMES = [2, 2, ...text("first"), 3, ...text("second")];
const MODULE = [
  ...HEAD,
  ...section(2, [KINDS.length, ...IMPORTS]),
  ...section(10, [2, 3, 0, 1, 0x0b, 2, 0, 0x0b]),
  ...section(0, [...text("other"), 1, 2, 3]),
  ...section(0, [...text("name"), 0, 5, ...text("shop"), 1, NAMES.length, ...NAMES]),
];

it("knows where bodies begin, and the names of functions", () => {
  const bytes = new WasmBytes(Buffer.from(MODULE));
  const code = 8 + 2 + 1 + IMPORTS.length + 2 + 1;
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((index) => bytes.bodyOf(index)),
    [null, null, code + 1, code + 5, null],
  );
  assert.deepEqual(
    [0, 2, 3].map((index) => bytes.nameOf(index)),
    ["", "shop.first", "shop.second"],
  );
});

it("reads what is damaged as far as it goes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(MODULE.length - 1), fc.nat(255)), { maxLength: 8 }),
      fc.nat(MODULE.length),
      (changes, length) => {
        const damaged = Buffer.from(MODULE);
        for (const [at, value] of changes) damaged[at] = value;
        const bytes = new WasmBytes(damaged.subarray(0, length));
        const body = bytes.bodyOf(2);
        assert.ok(body === null || body >= 0);
        assert.equal(typeof bytes.nameOf(2), "string");
      },
    ),
  );
});
