/** `--otlp`: latency histograms go to an OpenTelemetry collector, whatever that does. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { it } from "node:test";
import type { TestContext } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/routes.cjs");
/** Often, and what does not answer is given up as soon. */
const env = { OTEL_METRIC_EXPORT_INTERVAL: "300", OTEL_EXPORTER_OTLP_HEADERS: "x-key=secret" };

interface Point {
  readonly attributes: readonly { readonly key: string; readonly value: { stringValue: string } }[];
  readonly count: number;
  readonly sum: number;
  readonly bucketCounts: readonly number[];
  readonly explicitBounds: readonly number[];
  readonly startTimeUnixNano: string;
  readonly timeUnixNano: string;
  readonly exemplars?: readonly { traceId: string; spanId: string; asDouble: number }[];
}

/** What a collector does with a push. */
type Mood = "takes" | "refuses" | "is silent";

/** A collector that decodes what it gets (OTLP/HTTP, JSON). */
class Collector {
  mood: Mood = "takes";
  /** Of the last push that it took. */
  points: readonly Point[] = [];
  attributes: readonly string[] = [];
  pushes = 0;
  taken = 0;
  headers: http.IncomingHttpHeaders = {};
  target = "";
  readonly #server: http.Server = http.createServer((req, res) => void this.#take(req, res));

  static async start(t: TestContext): Promise<Collector> {
    const collector = new Collector();
    const server = collector.#server;
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    return collector;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo; // it listens at a port
    return `http://127.0.0.1:${port}`;
  }

  async #take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += String(chunk);
    this.pushes += 1;
    if (this.mood === "is silent") return;
    if (this.mood === "refuses") {
      response.writeHead(400).end("no room");
      return;
    }
    this.headers = request.headers;
    this.target = request.url ?? "";
    const { resourceMetrics } = JSON.parse(text) as {
      resourceMetrics: readonly {
        resource: { attributes: Point["attributes"] };
        scopeMetrics: readonly {
          metrics: readonly {
            name: string;
            unit: string;
            histogram: { dataPoints: readonly Point[]; aggregationTemporality: number };
          }[];
        }[];
      }[];
    };
    const [first] = resourceMetrics;
    const [metric] = first?.scopeMetrics[0]?.metrics ?? [];
    assert.equal(metric?.name, "http.server.request.duration");
    assert.equal(metric.unit, "s");
    assert.equal(metric.histogram.aggregationTemporality, 2, "cumulative");
    this.points = metric.histogram.dataPoints;
    this.attributes = (first?.resource.attributes ?? []).map(
      ({ key, value }) => `${key}=${value.stringValue}`,
    );
    this.taken += 1;
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  }

  /** The point of a route, once it has so many requests. */
  waitFor(route: string, count: number): Promise<Point> {
    return waitFor(`${count} requests of ${route}`, () =>
      this.points.find((point) => {
        const own = point.attributes.map(({ key, value }) => `${key}=${value.stringValue}`);
        return own.includes(`http.route=${route}`) && point.count === count;
      }),
    );
  }
}

async function metrics(service: Service): Promise<string> {
  const port = await waitFor("the listener is in the log", () => {
    return /metrics and health on http:\/\/127\.0\.0\.1:(\d+)/.exec(service.stderr)?.[1];
  });
  const token = readFileSync(path.join(service.runtimeDir, `${service.name}.admin-token`), "utf8");
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`, {
    headers: { authorization: `Bearer ${token.trim()}` },
  });
  return answer.text();
}

function pushes(text: string, result: "ok" | "failed"): number {
  const found = new RegExp(`^holdfast_otlp_pushes_total\\{result="${result}"\\} (\\d+)$`, "m");
  return Number(found.exec(text)?.[1] ?? -1);
}

it("histograms arrive, with exemplars; a collector that fails is counted and tried", async (t) => {
  const collector = await Collector.start(t);
  const flags = ["--otlp", collector.url, "--admin", "0"];
  const service = await startService(t, { entry, flags, workers: 1, env });
  const target = await service.target();
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
  const traced = await RawConnection.open(target);
  for (let count = 0; count < 5; count += 1) {
    await traced.request("GET", "/orders/7", { headers: { traceparent } });
  }
  traced.close();
  const point = await collector.waitFor("/orders/:id", 5);
  assert.equal(collector.target, "/v1/metrics");
  assert.equal(collector.headers["x-key"], "secret");
  assert.ok(collector.attributes.includes(`service.name=${service.name}`));
  assert.deepEqual(
    point.attributes.map(({ key, value }) => `${key}=${value.stringValue}`),
    ["http.request.method=GET", "http.route=/orders/:id", "http.response.status_class=2xx"],
  );
  assert.equal(point.bucketCounts.length, point.explicitBounds.length + 1);
  assert.equal(
    point.bucketCounts.reduce((sum, each) => sum + each, 0),
    5,
  );
  assert.ok(point.sum > 0 && BigInt(point.startTimeUnixNano) < BigInt(point.timeUnixNano));
  assert.equal(point.exemplars?.[0]?.traceId, traceId);

  for (const mood of ["refuses", "is silent"] as const) {
    collector.mood = mood;
    const failed = pushes(await metrics(service), "failed");
    await waitFor(`two failures of a collector that ${mood}`, async () => {
      return pushes(await metrics(service), "failed") >= failed + 2;
    });
    assert.equal((await get(target, "/orders/8")).status, 200);
  }
  assert.match(service.stderr, /cannot send latencies to .*; goes on trying/);
  collector.mood = "takes";
  await collector.waitFor("/orders/:id", 7);
  await waitFor("it is said", () => /latencies arrive at .* again/.test(service.stderr));
  assert.equal(service.stderr.match(/cannot send latencies/g)?.length, 1);
});

it("a collector that is not there harms nobody", async (t) => {
  const flags = ["--otlp", "http://127.0.0.1:1"];
  const service = await startService(t, { entry, flags, workers: 1, env });
  await waitFor("it is said", () => /cannot send latencies to/.test(service.stderr));
  assert.equal((await get(await service.target(), "/orders/8")).status, 200);
  assert.doesNotMatch(service.stderr, /metrics and health on/, "nothing is served");
});
