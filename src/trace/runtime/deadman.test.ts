import assert from "node:assert/strict";
import { test } from "node:test";
import { Deadman, FIRINGS_PER_SECOND, LATE_MS, TIMES } from "./deadman.ts";

/** Checks with a timer that comes so late each time, and so many firings a second. */
function after(times: number, lateMs: number, perSecond: number): string | null {
  const deadman = new Deadman(1000, 0);
  let [now, firings] = [0, 0];
  for (let count = 0; count < times; count += 1) {
    now += 1000 + lateMs;
    firings += (perSecond * (1000 + lateMs)) / 1000;
    deadman.check(now, firings);
  }
  return deadman.reason;
}

test("a trace that fires very often in a worker that is late again and again ends", () => {
  const why = after(TIMES, LATE_MS + 100, FIRINGS_PER_SECOND * 2);
  assert.equal(why, "it held its worker up: 600 ms late at 200000 firings a second");
  assert.equal(after(TIMES - 1, LATE_MS + 100, FIRINGS_PER_SECOND * 2), null);
});

test("one that fires seldom, or in a worker that is not late, does not", () => {
  assert.equal(after(100, 5000, FIRINGS_PER_SECOND / 2), null);
  assert.equal(after(100, LATE_MS - 100, FIRINGS_PER_SECOND * 10), null);
});
