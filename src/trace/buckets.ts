/**
 * Buckets of the three distributions. A bucket is a whole number, so that distributions of several
 * workers are added bucket by bucket; where it begins and ends is computed when it is shown.
 *
 * ```
 *   quantize     ... [0.5,1) [1,2) [2,4) ...   of both signs: -e-OFFSET | 0 | e+OFFSET
 *   llquantize   ... [0.9,1) [1,2) [2,3) ... [9,10) [10,20) ...
 *   lquantize    below | [low,low+step) ... | high and above
 * ```
 */
import type { AggregateName } from "./vocabulary.ts";

export interface Bounds {
  readonly from: number;
  readonly to: number;
}

/** Below 2^-40 everything is 0: a millisecond holds 2^20 nanoseconds. Above 2^62 all is one. */
const EXPONENT_MIN = -40;
const EXPONENT_MAX = 62;
/** More than any exponent, so that no bucket is 0 by accident. */
const OFFSET = 100;
/** Powers of ten from 10^-12 on, nine steps each. */
const DECADE_MIN = -12;
const DECADE_MAX = 18;
const STEPS_PER_DECADE = 9;

export function quantizeBucket(value: number): number {
  const size = Math.abs(value);
  if (size < 2 ** EXPONENT_MIN) return 0;
  const exponent = Math.min(exponentOf(size), EXPONENT_MAX);
  return value < 0 ? -(exponent + OFFSET) : exponent + OFFSET;
}

/**
 * The whole part of the logarithm to base 2, by the leading zeros of 32 bits of the number: exact,
 * and a tenth of the time that `Math.log2` takes. Multiplying by a power of two rounds nothing.
 */
function exponentOf(size: number): number {
  if (size < 1) {
    const scaled = size * 2 ** 40; // 1 at least
    return (scaled < 2 ** 32 ? 31 - Math.clz32(scaled) : 63 - Math.clz32(scaled / 2 ** 32)) - 40;
  }
  if (size < 2 ** 32) return 31 - Math.clz32(size);
  return size < 2 ** 64 ? 63 - Math.clz32(size / 2 ** 32) : EXPONENT_MAX;
}

export function llquantizeBucket(value: number): number {
  const size = Math.abs(value);
  if (size < 10 ** DECADE_MIN) return 0;
  let decade = Math.min(Math.floor(Math.log10(size)), DECADE_MAX);
  if (10 ** decade > size) decade -= 1;
  if (10 ** (decade + 1) <= size && decade < DECADE_MAX) decade += 1;
  const step = Math.min(Math.max(Math.floor(size / 10 ** decade), 1), STEPS_PER_DECADE);
  const bucket = (decade - DECADE_MIN) * STEPS_PER_DECADE + step;
  return value < 0 ? -bucket : bucket;
}

/** @param params low, high, step */
export function lquantizeBucket(value: number, params: readonly number[]): number {
  const [low = 0, high = 0, step = 1] = params;
  if (value < low) return -1;
  if (value >= high) return Math.ceil((high - low) / step);
  return Math.floor((value - low) / step);
}

/** Where a bucket begins and ends. */
export function boundsOf(kind: AggregateName, bucket: number, params: readonly number[]): Bounds {
  if (kind === "lquantize") return linear(bucket, params);
  if (bucket === 0) return { from: 0, to: 0 };
  const size = Math.abs(bucket);
  const bounds = kind === "quantize" ? power(size) : decimal(size);
  return bucket > 0 ? bounds : { from: -bounds.to, to: -bounds.from };
}

function power(bucket: number): Bounds {
  const exponent = bucket - OFFSET;
  return { from: 2 ** exponent, to: exponent === EXPONENT_MAX ? Infinity : 2 ** (exponent + 1) };
}

function decimal(bucket: number): Bounds {
  const decade = Math.floor((bucket - 1) / STEPS_PER_DECADE);
  const step = bucket - decade * STEPS_PER_DECADE;
  const exponent = decade + DECADE_MIN;
  const isLast = exponent === DECADE_MAX && step === STEPS_PER_DECADE;
  return { from: times(step, exponent), to: isLast ? Infinity : times(step + 1, exponent) };
}

/** 3 * 10^-1 is 0.30000000000000004; 3 / 10^1 is not. */
function times(step: number, exponent: number): number {
  return exponent < 0 ? step / 10 ** -exponent : step * 10 ** exponent;
}

function linear(bucket: number, params: readonly number[]): Bounds {
  const [low = 0, high = 0, step = 1] = params;
  if (bucket < 0) return { from: -Infinity, to: low };
  const from = low + bucket * step;
  return from >= high ? { from: high, to: Infinity } : { from, to: Math.min(from + step, high) };
}
