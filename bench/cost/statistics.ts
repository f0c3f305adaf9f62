/** Medians and how sure they are. */

/** A median and the interval in which it lies with 95 %. */
export interface Estimate {
  readonly median: number;
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
  const medians = Array.from({ length: RESAMPLES }, () => {
    const sample = values.map(() => values[Math.floor(random() * values.length)] ?? Number.NaN);
    return median(sample);
  }).toSorted((a, b) => a - b);
  return {
    median: median(values),
    low: medians[Math.floor(RESAMPLES * TAIL)] ?? Number.NaN,
    high: medians[Math.ceil(RESAMPLES * (1 - TAIL)) - 1] ?? Number.NaN,
  };
}

/** How much the second number of a pair grows with the first one, by least squares. */
export function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
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
