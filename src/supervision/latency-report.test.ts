import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inflateSync } from "node:zlib";
import fc from "fast-check";
import { decodeFromCompressedBase64 } from "hdr-histogram-js";
import { HISTOGRAM_BUCKETS, bucketOf } from "../base/mod.ts";
import { encodeHdr, hdrLog } from "./latency-hdr.ts";
import { LatencyGroup, allLatencies, groupLatencies, reportSeries } from "./latency-report.ts";
import type { LatencyReport, ReportedSeries, ReportedWorker } from "./latency-report.ts";

/** A series of requests that took these microseconds. */
function series(name: string, status: number, times: readonly number[]): ReportedSeries {
  const counts = new Float64Array(HISTOGRAM_BUCKETS);
  for (const us of times) counts[bucketOf(us)] = (counts[bucketOf(us)] ?? 0) + 1;
  const sumUs = times.reduce((sum, us) => sum + us, 0);
  const maxUs = Math.max(0, ...times);
  const whole = { name, status, sumUs, waitedUs: 0, maxUs, exemplar: null, counts };
  const [reported] = reportSeries([whole]);
  assert.ok(reported !== undefined);
  return reported;
}

function report(
  workers: Readonly<Record<number, readonly ReportedSeries[]>>,
  gone: readonly ReportedSeries[] = [],
): LatencyReport {
  const vitals = { heapUsedBytes: 0, heapLimitBytes: 0, externalBytes: 0, gcCount: 0, gcMs: 0 };
  const loop = { loopLagMs: 0, loopActiveMs: 0, requests: 0, inFlight: 0, connections: 0 };
  const told = Object.entries(workers).map(([id, own]): ReportedWorker => {
    const identity = { index: 0, id: Number(id), pid: 1, generation: 1 };
    return Object.assign(identity, vitals, loop, { series: own });
  });
  return { atMs: 2000, startedAt: new Date(0).toISOString(), workers: told, gone };
}

describe("groups of latencies", () => {
  it("add up workers and those that have gone", () => {
    const all = report({ 1: [series("GET /a", 2, [100, 200])], 2: [series("GET /a", 5, [300])] }, [
      series("GET /b", 2, [50]),
    ]);
    const groups = groupLatencies(all, ({ name }) => name);
    const a = groups.get("GET /a");
    assert.deepEqual([a?.count, a?.sumUs, a?.maxUs, a?.slowestUs], [3, 600, 300, 300]);
    assert.deepEqual(a?.byStatus, [0, 0, 2, 0, 0, 1]);
    assert.equal(allLatencies(all).count, 4);
    const live = groupLatencies(all, (_, worker) => (worker === null ? null : String(worker.id)));
    assert.deepEqual([...live.keys()], ["1", "2"]);
  });

  it("of an interval are what came meanwhile, although a worker died in it", () => {
    const before = report({ 1: [series("GET /a", 2, [100, 9000])] });
    const after = report({ 2: [series("GET /a", 2, [300])] }, [
      series("GET /a", 2, [100, 9000, 200]),
    ]);
    const group = groupLatencies(after, ({ name }) => name, before).get("GET /a");
    assert.equal(group?.count, 2);
    assert.equal(group.sumUs, 500);
    assert.ok(Math.abs(group.slowestUs - 300) < 3, `${group.slowestUs}`);
    assert.equal(groupLatencies(after, ({ name }) => name, after).size, 0);
  });

  it("have no quantile above their maximum", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 1, max: 1e9, noNaN: true }), { minLength: 1 }), (t) => {
        const group = new LatencyGroup();
        group.add(series("a", 2, t));
        const most = Math.max(...t);
        return group.slowestUs === most && group.quantiles([0.5, 1]).every((us) => us <= most);
      }),
    );
  });
});

/** Decodes as HdrHistogram's readers do: ZigZag LEB128, negative numbers are runs of zeros. */
function decode(text: string): { header: Buffer; counts: number[] } {
  const outer = Buffer.from(text, "base64");
  assert.equal(outer.readUInt32BE(0), 0x1c849314);
  assert.equal(outer.readUInt32BE(4), outer.length - 8);
  const bytes = inflateSync(outer.subarray(8));
  const counts: number[] = [];
  for (let at = 40; at < bytes.length;) {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at] ?? 0;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 128) break;
    }
    const number = Number((value >> 1n) ^ -(value & 1n));
    if (number < 0) counts.push(...Array.from({ length: -number }, () => 0));
    else counts.push(number);
  }
  return { header: bytes.subarray(0, 40), counts };
}

describe("the log of HdrHistogram", () => {
  it("has the counts, bucket by bucket", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(HISTOGRAM_BUCKETS - 1), fc.integer({ min: 1, max: 2 ** 40 }))),
        (pairs) => {
          const counts = new Float64Array(HISTOGRAM_BUCKETS);
          for (const [bucket, count] of pairs) counts[bucket] = count;
          const { header, counts: read } = decode(encodeHdr({ counts }));
          assert.equal(header.readUInt32BE(0), 0x1c849313);
          assert.equal(header.readUInt32BE(12), 2);
          assert.equal(header.readBigUInt64BE(24), 2n ** 36n - 1n);
          const last = counts.findLastIndex((count) => count > 0);
          assert.deepEqual(read, [...counts.subarray(0, last + 1)]);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("is what another implementation reads: counts, percentiles, mean", () => {
    const group = new LatencyGroup();
    // microseconds, over six powers of ten
    const times = Array.from({ length: 2000 }, (_, at) => 1.17 ** (at % 100) * 3);
    const counts = new Float64Array(HISTOGRAM_BUCKETS);
    for (const us of times) counts[bucketOf(us)] = (counts[bucketOf(us)] ?? 0) + 1;
    const read = decodeFromCompressedBase64(encodeHdr({ counts }));
    assert.equal(read.totalCount, times.length);
    const sorted = times.toSorted((a, b) => a - b);
    for (const percentile of [1, 50, 90, 99, 100]) {
      const exact = sorted[Math.ceil((percentile / 100) * sorted.length) - 1] ?? 0;
      const found = read.getValueAtPercentile(percentile) / 10; // units of 100 ns
      assert.ok(Math.abs(found - exact) <= exact / 100, `p${percentile}: ${found} for ${exact}`);
    }
    group.add(series("GET /a", 2, [1000]));
    assert.equal(decodeFromCompressedBase64(encodeHdr(group)).totalCount, 1);
  });

  it("has a line for each group, with a tag of one word", () => {
    const group = new LatencyGroup();
    group.add(series("GET /a, b", 2, [1000]));
    const lines = hdrLog(new Map([["GET /a, b", group]]), 1000, 61_000);
    assert.equal(lines[0], "#[Histogram log format version 1.3]");
    assert.match(lines.at(-1) ?? "", /^Tag=GET_\/a_b,0\.000,60\.000,0\.001000,HISTF/);
  });
});
