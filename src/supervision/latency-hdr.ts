/**
 * Histograms in the log format of HdrHistogram (version 1.3), which its tools and libraries read.
 * Source of the encoding: its Java implementation, AbstractHistogram.encodeIntoByteBuffer (V2) and
 * encodeIntoCompressedByteBuffer, ZigZagEncoding; HistogramLogWriter for the lines.
 *
 * ```
 *   Tag=GET_/orders/:id,0.000,60.000,0.0123,HISTFAAAA...
 *       the label      start  length max (s) base64 of: cookie, length, deflate of:
 *                                            cookie, bytes, 0, digits, lowest, highest, 1.0,
 *                                            counts as ZigZag LEB128, runs of zeros as negatives
 * ```
 */
import { deflateSync } from "node:zlib";
import { HISTOGRAM_UNIT_NS } from "../base/mod.ts";
import type { LatencyGroup } from "./latency-report.ts";

/** V2, with 8-byte words at most (the lower bits of both cookies say so). */
const COOKIE = 0x1c84_9313;
const COMPRESSED_COOKIE = 0x1c84_9314;
const HEADER_BYTES = 40;
const SIGNIFICANT_DIGITS = 2;
/** In units; what the buckets of `base/histogram.ts` reach to. */
const HIGHEST_UNITS = 2 ** 36 - 1;

/** The counts of a group, compressed and in base64. Values are in units of 100 ns. */
export function encodeHdr({ counts }: Pick<LatencyGroup, "counts">): string {
  const words: number[] = [];
  const last = counts.findLastIndex((count) => count > 0);
  for (let bucket = 0; bucket <= last;) {
    const count = counts[bucket] ?? 0;
    let zeros = 0;
    while (bucket + zeros <= last && (counts[bucket + zeros] ?? 0) <= 0) zeros += 1;
    pushZigZag(words, zeros > 0 ? -zeros : count);
    bucket += Math.max(1, zeros);
  }
  const encoded = Buffer.alloc(HEADER_BYTES + words.length);
  encoded.writeUInt32BE(COOKIE, 0);
  encoded.writeUInt32BE(words.length, 4);
  encoded.writeUInt32BE(0, 8); // normalizing index offset
  encoded.writeUInt32BE(SIGNIFICANT_DIGITS, 12);
  encoded.writeBigUInt64BE(1n, 16); // lowest value that can be told apart
  encoded.writeBigUInt64BE(BigInt(HIGHEST_UNITS), 24);
  encoded.writeDoubleBE(1, 32); // integer to double conversion ratio
  Buffer.from(words).copy(encoded, HEADER_BYTES);
  const compressed = deflateSync(encoded);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(COMPRESSED_COOKIE, 0);
  head.writeUInt32BE(compressed.length, 4);
  return Buffer.concat([head, compressed]).toString("base64");
}

/** LEB128 of a zig-zag number; counts are far below 2^53, so no big integers are needed. */
function pushZigZag(into: number[], value: number): void {
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  for (let bytes = 1; rest >= 128 && bytes < 9; bytes += 1) {
    into.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  into.push(rest);
}

/** A log of one interval with a line for each group, by its name. */
export function hdrLog(
  groups: ReadonlyMap<string, LatencyGroup>,
  startMs: number,
  endMs: number,
): readonly string[] {
  const seconds = ((endMs - startMs) / 1000).toFixed(3);
  const startSeconds = (startMs / 1000).toFixed(3);
  const unitsPerMs = 1e6 / HISTOGRAM_UNIT_NS;
  const lines = [...groups].map(([name, group]) => {
    const tag = name.replaceAll(/[\s,]+/g, "_");
    const max = (group.slowestUs / 1e6).toFixed(6);
    return `Tag=${tag === "" ? "all" : tag},0.000,${seconds},${max},${encodeHdr(group)}`;
  });
  return [
    "#[Histogram log format version 1.3]",
    `#[Values are in units of ${HISTOGRAM_UNIT_NS} ns: ${unitsPerMs} are a millisecond]`,
    `#[StartTime: ${startSeconds} (seconds since epoch), ${new Date(startMs).toISOString()}]`,
    '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ...lines,
  ];
}
