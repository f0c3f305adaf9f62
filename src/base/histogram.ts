/**
 * Log-linear histograms of times, in the buckets of an HdrHistogram of two significant digits with
 * a unit of 100 ns (`countsArrayIndex` of its Java implementation), so that its tools can read what
 * is exported.
 *
 * ```
 *   bucket 0 .. 255        one unit wide                    up to 25.6 us
 *   then 128 buckets each  2, 4, 8 ... 2^28 units wide      up to 1 h 54 min
 * ```
 * A bucket is at most 1/128 of its values wide: what its middle stands for is wrong by less than
 * 0.4 %, from 12.8 us on; below that by at most 50 ns.
 */

/** Of one histogram. */
export const HISTOGRAM_BUCKETS = 3840;
/** One unit, in nanoseconds. */
export const HISTOGRAM_UNIT_NS = 100;
const UNITS_PER_US: number = 1000 / HISTOGRAM_UNIT_NS;
const UNITS_MAX: number = 2 ** 36 - 1;

/** The bucket of a time in microseconds. Negative ones (a clock that jumps) count as 0. */
export function bucketOf(us: number): number {
  const units = us * UNITS_PER_US;
  if (units < 0x1_0000_0000) {
    const value = units > 0 ? units >>> 0 : 0;
    if (value < 256) return value;
    const shift = 24 - Math.clz32(value);
    return (shift << 7) + (value >>> shift);
  }
  const high = Math.floor(Math.min(units, UNITS_MAX) / 256);
  const shift = 24 - Math.clz32(high);
  return ((shift + 8) << 7) + (high >>> shift);
}

/** Units that a bucket is wide, a power of two. */
function widthOf(bucket: number): number {
  return bucket < 256 ? 1 : 2 ** ((bucket >> 7) - 1);
}

function lowOf(bucket: number): number {
  if (bucket < 256) return bucket;
  const shift = (bucket >> 7) - 1;
  return (bucket - (shift << 7)) * 2 ** shift;
}

/** The least time of a bucket. */
export function bucketLowUs(bucket: number): number {
  return lowOf(bucket) / UNITS_PER_US;
}

/** How wide a bucket is. */
export function bucketWidthUs(bucket: number): number {
  return widthOf(bucket) / UNITS_PER_US;
}

/** The time that a bucket stands for: its middle. */
export function bucketUs(bucket: number): number {
  return (lowOf(bucket) + widthOf(bucket) / 2) / UNITS_PER_US;
}

/**
 * The times below which the given parts (0 to 1, ascending) of all counted values lie; 0 where
 * nothing was counted.
 */
export function quantilesUs(counts: ArrayLike<number>, parts: readonly number[]): number[] {
  let total = 0;
  for (let bucket = 0; bucket < counts.length; bucket += 1) total += counts[bucket] ?? 0;
  const found = parts.map(() => 0);
  let seen = 0;
  let at = 0;
  for (let bucket = 0; bucket < counts.length && bucket < HISTOGRAM_BUCKETS; bucket += 1) {
    const count = counts[bucket] ?? 0;
    if (count === 0) continue;
    seen += count;
    for (; at < parts.length && seen >= Math.max(1, (parts[at] ?? 1) * total); at += 1) {
      found[at] = bucketUs(bucket);
    }
  }
  return found;
}
