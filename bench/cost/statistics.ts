/** Medians and how sure they are. */

/** A median, or a mean of medians, and the interval in which it lies with 95 %. */
export interface Estimate {
  readonly middle: number;
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 2000;
const TAIL = 0.025;

/** Random numbers of [0, 1). */
export type Random = () => number;

/** mulberry32, by Tommy Ettinger (public domain): small, and good enough for shuffling. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** NaN for no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Median with its percentile bootstrap interval (Efron and Tibshirani, 1993, 13.3). */
export function estimate(values: readonly number[], random: Random): Estimate {
  return estimateOfGroups([values], random);
}

/** Where all but the tails of the resamples lie. */
function interval(resamples: readonly number[]): { readonly low: number; readonly high: number } {
  const sorted = resamples.toSorted((a, b) => a - b);
  return {
    low: sorted[Math.floor(RESAMPLES * TAIL)] ?? Number.NaN,
    high: sorted[Math.ceil(RESAMPLES * (1 - TAIL)) - 1] ?? Number.NaN,
  };
}

/**
 * Mean of the medians of several groups, with its interval: a bootstrap of groups, and of values
 * within each (Davison and Hinkley, 1997, 3.8). What differs from group to group is part of it.
 */
export function estimateOfGroups(groups: readonly (readonly number[])[], random: Random): Estimate {
  const again = <T>(items: readonly T[]): T[] =>
    items.map(() => items[Math.floor(random() * items.length)] as T); // the index is inside
  const middle = (some: readonly (readonly number[])[]): number => mean(some.map(median));
  const middles = Array.from({ length: RESAMPLES }, () => middle(again(groups).map(again)));
  return { middle: middle(groups), ...interval(middles) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** How much the second number of a pair grows with the first one, by least squares. */
export function slope(points: readonly (readonly [number, number])[]): number {
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const rise = mean(points.map(([x, y]) => (x - meanX) * (y - meanY)));
  return rise / mean(points.map(([x]) => (x - meanX) ** 2));
}

/** A copy in random order (Fisher and Yates, as in Knuth, 3.4.2, algorithm P). */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j] as T, copy[i] as T]; // both indexes are inside
  }
  return copy;
}
