import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { estimate, estimateOfGroups, median, seededRandom, shuffled, slope } from "./statistics.ts";

describe("statistics", () => {
  it("takes the middle, or the mean of the two in the middle", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.equal(median([]), Number.NaN);
  });

  it("gives an interval that holds the median and lies within the values", () => {
    const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 30 });
    const property = fc.property(values, fc.nat(), (numbers, seed) => {
      const { middle, low, high } = estimate(numbers, seededRandom(seed));
      assert.ok(low <= middle && middle <= high);
      assert.ok(low >= Math.min(...numbers) && high <= Math.max(...numbers));
    });
    fc.assert(property, { numRuns: 20 });
  });

  it("covers the true median of a known distribution about as often as it says", () => {
    const random = seededRandom(1);
    let covered = 0;
    for (let i = 0; i < 100; i += 1) {
      const { low, high } = estimate(Array.from({ length: 15 }, random), random);
      if (low <= 0.5 && 0.5 <= high) covered += 1;
    }
    assert.ok(covered >= 85, `${covered} of 100`);
  });

  it("has what differs from group to group in its interval", () => {
    const random = seededRandom(1);
    const noise = (about: number): number[] => Array.from({ length: 20 }, () => about + random());
    const alike = estimateOfGroups([0, 0, 0, 0].map(noise), random);
    const apart = estimateOfGroups([0, 10, 20, 30].map(noise), random);
    assert.ok(alike.high - alike.low < 0.5, "as of one group");
    assert.ok(apart.low < 11 && apart.high > 20, `${apart.low} to ${apart.high}`);
    assert.ok(Math.abs(apart.middle - 15.5) < 0.3, `${apart.middle}`);
  });

  it("finds the slope of a line, and of one with noise on both sides", () => {
    const close = (actual: number): void => assert.ok(Math.abs(actual - 3) < 1e-9, String(actual));
    close(slope([0, 10, 25].map((x) => [x, 3 * x + 7])));
    close(
      slope([
        [0, 1],
        [0, -1],
        [10, 31],
        [10, 29],
      ]),
    );
  });

  it("shuffles: the same items, every order about equally often", () => {
    const random = seededRandom(2);
    const orders = new Map<string, number>();
    for (let i = 0; i < 6000; i += 1) {
      const order = shuffled(["a", "b", "c"], random).join("");
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    assert.equal(orders.size, 6);
    for (const count of orders.values()) assert.ok(count > 800 && count < 1200, String(count));
  });
});
