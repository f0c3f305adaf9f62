import assert from "node:assert/strict";
import { test } from "node:test";
import { Silence, TICK_MS, beatIntervalMs } from "./silence.ts";

/** Ticks from `fromMs` for `forMs`; returns who was found silent in the last tick. */
function ticks(
  silence: Silence,
  fromMs: number,
  forMs: number,
  limitMs: number,
): readonly number[] {
  let found: readonly number[] = [];
  for (let now = fromMs; now <= fromMs + forMs; now += TICK_MS) found = silence.tick(now, limitMs);
  return found;
}

test("a worker that was heard and then is not for longer than the limit is silent", () => {
  const silence = new Silence(0);
  silence.heard(7);
  assert.deepEqual(ticks(silence, TICK_MS, 900, 1000), []);
  assert.deepEqual(ticks(silence, 1100, 0, 1000), [7]);
  silence.heard(7);
  assert.deepEqual(ticks(silence, 1200, 500, 1000), []);
});

test("one that was never heard, and one that has gone, are not silent", () => {
  const silence = new Silence(0);
  silence.heard(1);
  silence.forget(1);
  assert.deepEqual(ticks(silence, TICK_MS, 10_000, 1000), []);
});

test("while we sleep ourselves nobody is silent", () => {
  const silence = new Silence(0);
  silence.heard(1);
  assert.deepEqual(silence.tick(60_000, 1000), []);
  assert.deepEqual(silence.tick(120_000, 1000), []);
});

test("a limit of 0 finds nobody", () => {
  const silence = new Silence(0);
  silence.heard(1);
  assert.deepEqual(ticks(silence, TICK_MS, 60_000, 0), []);
});

test("beats come several times within the stall limit, and often enough for the status", () => {
  for (const limitMs of [0, 200, 500, 1000, 5000, 60_000]) {
    const interval = beatIntervalMs(limitMs);
    assert.ok(interval >= 50 && interval <= 250, `${interval} ms`);
    if (limitMs > 0) assert.ok(interval * 4 <= limitMs, `${interval} ms of ${limitMs} ms`);
  }
});
