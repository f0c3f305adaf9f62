import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { HISTOGRAM_BUCKETS, bucketLowUs, bucketOf, bucketUs } from "../base/mod.ts";
import { bucketWidthUs, quantilesUs } from "../base/mod.ts";
import { LatencyTable, OTHER_ROUTE } from "./latency-table.ts";
import { LATENCY_NAME_BYTES_MAX, LATENCY_SERIES_MAX } from "./layout.ts";
import { ledgerBytes } from "./layout.ts";

const SHAPE = { connectionsMax: 1, workersMax: 1 };

function tables(): { memory: ArrayBuffer; worker: LatencyTable; gone: LatencyTable } {
  const memory = new ArrayBuffer(ledgerBytes(SHAPE));
  const [worker, gone] = [new LatencyTable(memory, SHAPE, 0), new LatencyTable(memory, SHAPE, 1)];
  return { memory, worker, gone };
}

const total = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0);

describe("the buckets", () => {
  it("follow each other without a gap, each as narrow as promised", () => {
    for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket += 1) {
      const low = bucketLowUs(bucket);
      const width = bucketWidthUs(bucket);
      assert.equal(bucketOf(bucketUs(bucket)), bucket, `middle of ${bucket}`);
      if (bucket + 1 < HISTOGRAM_BUCKETS) {
        assert.ok(Math.abs(bucketLowUs(bucket + 1) - low - width) < 1e-9 * low + 1e-9);
      }
      if (low >= 12.8) assert.ok(width / low <= 1 / 128 + 1e-12, `bucket ${bucket}`);
    }
  });

  it("take every time, also impossible ones", () => {
    assert.equal(bucketOf(-5), 0);
    assert.equal(bucketOf(Number.NaN), 0);
    assert.equal(bucketOf(1e15), HISTOGRAM_BUCKETS - 1);
    fc.assert(
      fc.property(fc.double({ min: 13, max: 6.8e9, noNaN: true }), (us) => {
        const error = Math.abs(bucketUs(bucketOf(us)) - us);
        return error <= 0.05 + us * 0.004;
      }),
    );
  });

  it("give the quantiles that a sorted list has, within a percent", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 13, max: 1e7, noNaN: true }), { minLength: 1 }),
        (times) => {
          const counts = new Float64Array(HISTOGRAM_BUCKETS);
          for (const us of times) counts[bucketOf(us)] = (counts[bucketOf(us)] ?? 0) + 1;
          const sorted = times.toSorted((a, b) => a - b);
          const found = quantilesUs(counts, [0.5, 0.99, 1]);
          return [0.5, 0.99, 1].every((part, index) => {
            const exact = sorted[Math.max(1, Math.ceil(part * times.length)) - 1] ?? 0;
            return Math.abs((found[index] ?? 0) - exact) <= 0.05 + exact * 0.01;
          });
        },
      ),
    );
    assert.deepEqual(quantilesUs(new Float64Array(HISTOGRAM_BUCKETS), [0.5, 1]), [0, 0]);
  });
});

describe("a latency table", () => {
  it("is read by others while its worker counts", () => {
    const { memory, worker } = tables();
    const series = worker.series("GET /a/:id", 2);
    worker.record(series, 1000, 0);
    worker.record(series, 3000, 500);
    worker.record(worker.series("GET /a/:id", 5), 10, 0);
    assert.equal(worker.series("GET /a/:id", 2), series);
    const [ok, failed] = new LatencyTable(memory, SHAPE, 0).read();
    assert.deepEqual([ok?.name, ok?.status, ok?.sumUs], ["GET /a/:id", 2, 4000]);
    assert.deepEqual([ok?.waitedUs, ok?.maxUs], [500, 3000]);
    assert.equal(ok && total(ok.counts), 2);
    assert.equal(ok?.counts[bucketOf(1000)], 1);
    assert.deepEqual([failed?.status, failed?.exemplar], [5, null]);
  });

  it("counts what no longer fits under (other), for every kind of outcome", () => {
    const { worker } = tables();
    for (let route = 0; route < 2 * LATENCY_SERIES_MAX; route += 1) {
      worker.record(worker.series(`GET /${route}`, 2), 1, 0);
    }
    for (const status of [0, 1, 2, 3, 4, 5]) worker.record(worker.series("GET /z", status), 1, 0);
    const series = worker.read();
    assert.equal(series.length, LATENCY_SERIES_MAX);
    const others = series.filter(({ name }) => name === OTHER_ROUTE);
    const kinds = others.map(({ status }) => status).toSorted((a, b) => a - b);
    assert.deepEqual(kinds, [0, 1, 2, 3, 4, 5]);
    const counted = series.reduce((sum, { counts }) => sum + total(counts), 0);
    assert.equal(counted, 2 * LATENCY_SERIES_MAX + 6);
  });

  it("cuts a name that is too long, and finds it again", () => {
    const { worker } = tables();
    const name = `GET /${"ä".repeat(LATENCY_NAME_BYTES_MAX)}`;
    assert.equal(worker.series(name, 2), worker.series(name, 2));
    assert.equal(worker.read().length, 1);
  });

  it("is added to that of the gone, and is empty for the next worker", () => {
    const { worker, gone } = tables();
    for (const [name, us] of [
      ["GET /a", 100],
      ["GET /b", 200],
    ] as const) {
      worker.record(worker.series(name, 2), us, 1);
    }
    gone.record(gone.series("GET /b", 2), 50, 0);
    gone.takeOver(worker);
    assert.deepEqual(worker.read(), []);
    const b = gone.read().find(({ name }) => name === "GET /b");
    assert.deepEqual([b?.sumUs, b?.maxUs, b?.waitedUs], [250, 200, 1]);
    assert.equal(b && total(b.counts), 2);
    worker.record(worker.series("GET /b", 2), 7, 0);
    const [next] = worker.read();
    assert.deepEqual([next?.sumUs, next && total(next.counts)], [7, 1]);
  });

  it("keeps an exemplar whole, or shows none", () => {
    const { memory, worker } = tables();
    const series = worker.series("GET /", 2);
    const exemplar = { traceId: "a".repeat(32), spanId: "b".repeat(16), us: 5, atMs: 9 };
    worker.setExemplar(series, exemplar);
    assert.deepEqual(worker.read()[0]?.exemplar, exemplar);
    assert.equal(worker.exemplarAtMs(series), 9);
    worker.setExemplar(series, { ...exemplar, traceId: "\n".repeat(32) });
    assert.equal(worker.read()[0]?.exemplar, null);
    new Uint8Array(memory).fill(0xff); // a hostile or damaged ledger
    assert.deepEqual(new LatencyTable(memory, SHAPE, 0).read(), []);
  });
});
