import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { exampleStatus } from "../../test/support/example-status.ts";
import { makeFolder } from "../../test/support/folder.ts";
import { bucketOf } from "../base/mod.ts";
import type { LatencyReport, ReportedSeries } from "../supervision/mod.ts";
import { Exposition } from "./exposition.ts";
import { BOUNDS, httpAttributes, latencySamples, renderMetrics } from "./metrics.ts";
import { isAuthorized, tokenIn } from "./token.ts";

const EXEMPLAR = { traceId: "a".repeat(32), spanId: "b".repeat(16), us: 30_000, atMs: 1_700_000 };

function series(name: string, status: number): ReportedSeries {
  const buckets = [bucketOf(2000), 3, bucketOf(30_000), 1, bucketOf(60e6), 1];
  const times = { sumUs: 60_036_000, waitedUs: 5000, maxUs: 60e6 };
  return { name, status, ...times, exemplar: EXEMPLAR, buckets };
}

const REPORT: LatencyReport = {
  atMs: 0,
  startedAt: "2026-01-02T03:04:05.000Z",
  workers: [
    {
      index: 0,
      id: 3,
      pid: 1,
      generation: 2,
      requests: 5,
      inFlight: 0,
      connections: 0,
      loopLagMs: 0,
      loopActiveMs: 1500,
      heapUsedBytes: 100,
      heapLimitBytes: 200,
      externalBytes: 50,
      gcCount: 2,
      gcMs: 250,
      series: [series('GET /a"b\\c', 2), series("(other)", 0)],
    },
  ],
  gone: [series('GET /a"b\\c', 2)],
};

describe("metrics", () => {
  it("are in Prometheus' own format, without what only OpenMetrics has", () => {
    const text = renderMetrics(exampleStatus(), REPORT, false).toString();
    const name = "holdfast_http_request_duration_seconds";
    const labels = 'method="GET",route="/a\\"b\\\\c",status="2xx"';
    assert.ok(text.includes(`# TYPE ${name} histogram\n`));
    assert.ok(text.includes(`${name}_bucket{${labels},le="0.001"} 0\n`), text);
    assert.ok(text.includes(`${name}_bucket{${labels},le="0.0025"} 6\n`));
    assert.ok(text.includes(`${name}_bucket{${labels},le="0.05"} 8\n`));
    assert.ok(text.includes(`${name}_bucket{${labels},le="+Inf"} 10\n`));
    assert.ok(text.includes(`${name}_count{${labels}} 10\n`));
    assert.ok(text.includes(`${name}_sum{${labels}} 120.072\n`));
    assert.ok(text.includes(`${name}_count{method="",route="(other)",status="left"} 5\n`));
    assert.ok(text.includes("# TYPE holdfast_worker_gc_seconds_total counter\n"));
    assert.ok(text.includes('holdfast_worker_gc_seconds_total{worker="0"} 0.25\n'));
    assert.ok(text.includes('holdfast_connections_recovered_total{outcome="moved"} 3\n'));
    assert.ok(text.includes('holdfast_worker_ready{worker="1"} 0\n'));
    assert.ok(text.includes('holdfast_state{state="running"} 1\n'));
    assert.ok(!text.includes("# EOF") && !text.includes("trace_id"));
    const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    for (const line of samples) assert.match(line, /^[a-z_]+(\{.*\})? -?[\d.e+-]+$/, line);
  });

  it("are in OpenMetrics, with exemplars in their buckets", () => {
    const text = renderMetrics(exampleStatus(), REPORT, true).toString();
    assert.ok(text.endsWith("\n# EOF\n"));
    assert.ok(text.includes("# TYPE holdfast_worker_gc_seconds counter\n"));
    assert.ok(text.includes('holdfast_worker_gc_seconds_total{worker="0"} 0.25\n'));
    assert.ok(text.includes('le="1.0"'));
    const marked = text.split("\n").filter((line) => line.includes(" # {"));
    assert.equal(marked.length, 2);
    const mark = `# {trace_id="${EXEMPLAR.traceId}",span_id="${EXEMPLAR.spanId}"} 0.03 1700.000`;
    for (const line of marked) assert.ok(line.includes('le="0.05"') && line.endsWith(mark), line);
  });

  it("have OpenTelemetry's names for a collector, where each must have a method", () => {
    const attributes = latencySamples(REPORT).map(({ labels }) => httpAttributes(labels));
    assert.deepEqual(
      attributes.map((each) => Object.values(each)),
      [
        ["GET", '/a"b\\c', "2xx"],
        ["_OTHER", "(other)", "left"],
      ],
    );
  });

  it("without a ledger are those that there are", () => {
    const text = renderMetrics(exampleStatus(), null, true).toString();
    assert.ok(!text.includes("duration") && text.includes("holdfast_worker_connections"));
  });

  it("have ascending bounds, and no sample twice", () => {
    assert.deepEqual(
      [...BOUNDS],
      BOUNDS.toSorted((a, b) => a - b),
    );
    const status = exampleStatus();
    const [first] = status.workers;
    assert.ok(first !== undefined);
    const leaving = { ...first, id: 2, state: "draining" as const };
    const text = renderMetrics({ ...status, workers: [leaving, first] }, REPORT, true).toString();
    const names = text.split("\n").filter((line) => !line.startsWith("#"));
    const keys = names.map((line) => line.replace(/ [^ ]*( # .*)?$/, ""));
    assert.equal(new Set(keys).size, keys.length);
    assert.ok(text.includes('holdfast_worker_ready{worker="0"} 1\n'));
  });

  it("escape what would end a line or a text", () => {
    const out = new Exposition(false);
    out.gauge("a", "first\nsecond \\", [[{ b: 'x"\n\\' }, 1]]);
    assert.equal(
      out.toString(),
      '# HELP a first\\nsecond \\\\\n# TYPE a gauge\na{b="x\\"\\n\\\\"} 1\n',
    );
  });
});

describe("the token", () => {
  it("is made once, for its owner only, and replaced when it is none", (t) => {
    const file = path.join(makeFolder(t, {}), "shop.admin-token");
    const token = tokenIn(file);
    assert.match(token, /^[\da-f]{64}$/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(tokenIn(file), token);
    writeFileSync(file, "guess me");
    const next = tokenIn(file);
    assert.notEqual(next, token);
    assert.equal(readFileSync(file, "utf8"), `${next}\n`);
  });

  it("is asked for in whole", () => {
    const token = "f".repeat(64);
    assert.ok(isAuthorized(`Bearer ${token}`, token));
    assert.ok(isAuthorized(`bearer  ${token} `, token));
    for (const wrong of [undefined, "", token, `Basic ${token}`, `Bearer ${token}f`, "Bearer "]) {
      assert.ok(!isAuthorized(wrong, token), wrong);
    }
  });
});
