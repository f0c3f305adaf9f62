import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  BACKOFF_MAX_MS,
  HEALTHY_AFTER_MS,
  RestartIntensity,
  backoffMs,
} from "./restart-intensity.ts";

test("waits double from 100 ms to 15 s", () => {
  const waits = Array.from({ length: 11 }, (_, index) => backoffMs(index + 1));
  assert.deepEqual(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
  assert.equal(backoffMs(1e9), BACKOFF_MAX_MS);
});

test("a worker that cannot start is given up within the default period of 60 s", () => {
  const intensity = new RestartIntensity({ restarts: 10, periodMs: 60_000 });
  let now = 0;
  for (let count = 0; count < 10; count += 1) {
    const waitMs = intensity.crashed(now, 0);
    assert.ok(waitMs !== null);
    now += waitMs + 100;
  }
  assert.equal(intensity.crashed(now, 0), null);
  assert.ok(now < 60_000, `${now} ms`);
  intensity.reset();
  assert.equal(intensity.crashed(now, 0), 0, "until somebody asks for a fresh start");
});

test("no restarts at all can be asked for", () => {
  const intensity = new RestartIntensity({ restarts: 0, periodMs: 1000 });
  assert.equal(intensity.crashed(0, 1e6), null);
});

test("crashes that are far apart are restarted at once, for ever", () => {
  const intensity = new RestartIntensity({ restarts: 1, periodMs: 10_000 });
  for (let now = 0; now < 1e6; now += 20_000) {
    assert.equal(intensity.crashed(now, HEALTHY_AFTER_MS), 0);
  }
});

test("never more restarts in a period than allowed", () => {
  const limit = fc.record({
    restarts: fc.nat({ max: 20 }),
    periodMs: fc.integer({ min: 1, max: 1e5 }),
  });
  const gaps = fc.array(fc.nat({ max: 20_000 }), { maxLength: 100 });
  fc.assert(
    fc.property(limit, gaps, ({ restarts, periodMs }, gapsMs) => {
      const intensity = new RestartIntensity({ restarts, periodMs });
      const allowed: number[] = [];
      let now = 0;
      for (const gapMs of gapsMs) {
        now += gapMs;
        if (intensity.crashed(now, gapMs) !== null) allowed.push(now);
        assert.ok(allowed.filter((time) => now - time < periodMs).length <= restarts);
      }
    }),
  );
});
