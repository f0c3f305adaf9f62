import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HoldfastError } from "./errors.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

test("durations are read with their unit", () => {
  const expected: readonly [string, number][] = [
    ["0", 0],
    ["500ms", 500],
    ["5s", 5000],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
    [" 5 s ", 5000],
  ];
  for (const [text, ms] of expected) assert.equal(parseDuration(text), ms, text);
});

test("sizes are read with their unit, in any case", () => {
  const expected: readonly [string, number][] = [
    ["0", 0],
    ["10B", 10],
    ["64KiB", 65_536],
    ["64kib", 65_536],
    ["512MB", 512_000_000],
    ["1.5GiB", 1_610_612_736],
  ];
  for (const [text, bytes] of expected) assert.equal(parseSize(text), bytes, text);
});

test("what has no unit, or an unknown one, is refused with an example", () => {
  for (const text of ["", "5", "-5s", "5 parsecs", "s", "1e3s", "0x10s", "5s5s", "999999999999d"]) {
    assert.throws(
      () => parseDuration(text),
      (error: unknown) => {
        assert.ok(error instanceof HoldfastError);
        assert.equal(error.code, "ERR_HOLDFAST_UNIT");
        assert.match(error.message, /500ms/);
        return true;
      },
      text,
    );
  }
  assert.throws(() => parseSize("64K"), { code: "ERR_HOLDFAST_UNIT" });
});

test("durations are written for people", () => {
  const expected: readonly [number, string][] = [
    [0, "0ms"],
    [999, "999ms"],
    [1000, "1s"],
    [1500, "1.5s"],
    [59_949, "59.9s"],
    [59_950, "1m"],
    [60_000, "1m"],
    [95_000, "1m35s"],
    [3_600_000, "1h"],
    [86_399_999, "1d"],
    [90_000_000, "1d1h"],
    [-1500, "-1.5s"],
    [Number.POSITIVE_INFINITY, "never"],
  ];
  for (const [ms, text] of expected) assert.equal(formatDuration(ms), text);
});

test("sizes are written for people", () => {
  const expected: readonly [number, string][] = [
    [0, "0B"],
    [1023, "1023B"],
    [65_536, "64KiB"],
    [1_048_575, "1MiB"],
    [1_610_612_736, "1.5GiB"],
  ];
  for (const [bytes, text] of expected) assert.equal(formatSize(bytes), text);
});

test("a written size reads back as nearly the same", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => {
      const back = parseSize(formatSize(bytes));
      assert.ok(Math.abs(back - bytes) <= Math.max(1, bytes * 0.05), `${bytes} became ${back}`);
    }),
  );
});

test("a written duration has at most two units and never 60 of one", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (ms) => {
      const text = formatDuration(ms);
      assert.match(text, /^\d+(\.\d)?(ms|s)$|^\d+m(\d+s)?$|^\d+h(\d+m)?$|^\d+d(\d+h)?$/);
      assert.doesNotMatch(text, /\D60(s|m)$|^60(s|m)$|24h$/);
    }),
  );
});

test("any text is read or refused, never misread", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const parse of [parseDuration, parseSize]) {
        try {
          const value = parse(text);
          assert.ok(Number.isSafeInteger(value) && value >= 0);
        } catch (error) {
          assert.ok(error instanceof HoldfastError, String(error));
        }
      }
    }),
  );
});
