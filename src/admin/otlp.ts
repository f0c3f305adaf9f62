/**
 * `--otlp <url>`: sends the latency histograms to an OpenTelemetry collector, by the OpenTelemetry
 * SDK: its reader asks us every interval, its exporter sends (OTLP over HTTP, JSON), with its
 * retries and limits. One push at a time; one that fails is counted and the next one has everything
 * again, since the counts are of the whole life of the service.
 *
 * ```
 *   control socket --> LatencyReport --producer--> reader --> exporter --serializer--> collector
 *                                                                \-- exemplars are put in here
 * ```
 * Environment variables of the SDK count: OTEL_METRIC_EXPORT_INTERVAL, OTEL_EXPORTER_OTLP_HEADERS,
 * OTEL_RESOURCE_ATTRIBUTES. The SDK (2.12) has no exemplars in its metrics, so that they are added
 * to what its serializer makes.
 */
import { OTLPMetricExporterBase } from "@opentelemetry/exporter-metrics-otlp-http";
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
} from "@opentelemetry/otlp-exporter-base/node-http";
import {
  JsonMetricsSerializer,
  MetricsExporterMetricsHelper,
} from "@opentelemetry/otlp-transformer";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import {
  AggregationTemporality,
  DataPointType,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import type {
  CollectionResult,
  DataPoint,
  Histogram,
  MetricData,
  PushMetricExporter,
} from "@opentelemetry/sdk-metrics";
import type { LatencyReport, Status } from "../supervision/mod.ts";
import type { HistogramSample } from "./exposition.ts";
import { httpAttributes, latencySamples } from "./metrics.ts";
import type { PushCounts } from "./push-counts.ts";
import type { AdminSource } from "./server.ts";

/** Sooner than the SDK's minute: an overload is over by then. */
const INTERVAL_MS = 10_000;
const INTERVAL_MS_MAX = 3_600_000;
/** The SDK gives one push no longer than an interval. */
const TIMEOUT_MS_MAX = 10_000;
/** OpenTelemetry's semantic conventions for HTTP. */
const METRIC = "http.server.request.duration";
/** ValueType.DOUBLE of @opentelemetry/api, which is no dependency of ours. */
const ONE: unknown = 1;
const DOUBLE = ONE as MetricData["descriptor"]["valueType"]; // the enum is not ours to import
/** What its own metrics would call the exporter. */
const COMPONENT = "otlp_http_metric_exporter";

export interface PushOrder {
  readonly otlp: string;
  /** Of the service. */
  readonly name: string;
  readonly source: AdminSource;
  readonly counts: PushCounts;
  readonly log: (level: "info" | "error", message: string) => void;
}

/** The transformer's own name for what the SDK has. */
type Serialized = Parameters<typeof JsonMetricsSerializer.serializeRequest>[0];
type Exemplars = WeakMap<object, NonNullable<HistogramSample["exemplar"]>>;

/** See the file's docstring. Goes on until the process ends. */
export function startPush(order: PushOrder): void {
  const { otlp, name, source, counts, log } = order;
  const exemplars: Exemplars = new WeakMap();
  const interval = intervalOf(process.env["OTEL_METRIC_EXPORT_INTERVAL"]);
  const inner = exporterOf(targetOf(otlp), Math.min(interval, TIMEOUT_MS_MAX), exemplars);
  const reader = new PeriodicExportingMetricReader({
    exporter: watched(inner, counts, otlp, log),
    exportIntervalMillis: interval,
    exportTimeoutMillis: Math.min(interval, TIMEOUT_MS_MAX),
  });
  const resource = defaultResource()
    .merge(resourceFromAttributes({ "service.name": name }))
    .merge(detectResources({ detectors: [envDetector] }));
  reader.setMetricProducer({
    collect: async (): Promise<CollectionResult> => {
      const metrics = await collected(source, exemplars);
      const scopeMetrics = metrics === null ? [] : [{ scope: { name: "holdfast" }, metrics }];
      return { resourceMetrics: { resource, scopeMetrics }, errors: [] };
    },
  });
  log("info", `latencies go to ${targetOf(otlp)} every ${interval / 1000}s`);
}

function intervalOf(text: string | undefined): number {
  const wanted = Number(text);
  return wanted >= 100 && wanted <= INTERVAL_MS_MAX ? wanted : INTERVAL_MS;
}

/** A collector's address alone means the usual path (OTLP specification, "OTLP/HTTP Request"). */
function targetOf(otlp: string): string {
  const url = new URL(otlp);
  if (url.pathname === "/") url.pathname = "/v1/metrics";
  return url.href;
}

/** Null while the service does not answer, as its reactor is replaced. */
async function collected(source: AdminSource, exemplars: Exemplars): Promise<MetricData[] | null> {
  const answers = await Promise.all([source.status(), source.latency()]).catch(() => null);
  const [status, report] = answers ?? [null, null];
  return status === null || report === null ? null : [metricOf(status, report, exemplars)];
}

function metricOf(status: Status, report: LatencyReport, exemplars: Exemplars): MetricData {
  const startTime = hrTime(Date.parse(status.startedAt));
  const endTime = hrTime(Date.now());
  const dataPoints = latencySamples(report).map((sample): DataPoint<Histogram> => {
    const { labels, buckets, count, sum, exemplar } = sample;
    const attributes = httpAttributes(labels);
    // ours are cumulated, theirs are not, and have one more: what is above the last bound
    const cumulated = [...buckets.map(([, below]) => below), count];
    const counts = cumulated.map((below, at) => below - (cumulated[at - 1] ?? 0));
    const boundaries = buckets.map(([bound]) => bound);
    const value = { buckets: { boundaries, counts }, sum, count };
    const point = { startTime, endTime, attributes, value };
    if (exemplar !== null) exemplars.set(point, exemplar);
    return point;
  });
  return {
    descriptor: {
      name: METRIC,
      description: "From the first byte of a request, in the kernel, to the last of its response.",
      unit: "s",
      valueType: DOUBLE,
    },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints,
  };
}

function hrTime(ms: number): [seconds: number, nanoseconds: number] {
  return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
}

function exporterOf(url: string, timeoutMillis: number, exemplars: Exemplars): PushMetricExporter {
  const config = { url, concurrencyLimit: 1, timeoutMillis };
  const headers = { "Content-Type": "application/json" };
  const delegate = createOtlpHttpExportDelegate(
    convertLegacyHttpOptions(config, "METRICS", "v1/metrics", headers),
    {
      serializeRequest: (metrics: Serialized) => {
        const bytes = JsonMetricsSerializer.serializeRequest(metrics);
        return bytes === undefined ? undefined : withExemplars(bytes, metrics, exemplars);
      },
      deserializeResponse: (bytes: Uint8Array) => JsonMetricsSerializer.deserializeResponse(bytes),
    },
    COMPONENT,
    MetricsExporterMetricsHelper,
    undefined, // nobody measures the exporter itself
  );
  return new OTLPMetricExporterBase(delegate, config);
}

/** What an export request has, as far as it is needed here (opentelemetry-proto, metrics.proto). */
interface ExportRequest {
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics?: readonly {
      readonly metrics?: readonly {
        readonly histogram?: { readonly dataPoints?: { exemplars?: readonly object[] }[] };
      }[];
    }[];
  }[];
}

/** The serializer keeps the order of what it is given. */
function withExemplars(
  bytes: Uint8Array,
  { scopeMetrics }: Serialized,
  exemplars: Exemplars,
): Uint8Array {
  const request = JSON.parse(Buffer.from(bytes).toString()) as ExportRequest; // as it was made
  const written = request.resourceMetrics?.[0]?.scopeMetrics?.flatMap(({ metrics = [] }) =>
    metrics.flatMap(({ histogram }) => histogram?.dataPoints ?? []),
  );
  const points = scopeMetrics.flatMap(({ metrics }) =>
    metrics.flatMap((each): readonly object[] => each.dataPoints),
  );
  points.forEach((point, at) => {
    const exemplar = exemplars.get(point);
    const into = written?.[at];
    if (exemplar === undefined || into === undefined) return;
    const { labels, value, time } = exemplar;
    into.exemplars = [
      {
        timeUnixNano: String(BigInt(Math.round(time * 1e6)) * 1000n),
        asDouble: value,
        traceId: labels["trace_id"] ?? "",
        spanId: labels["span_id"] ?? "",
      },
    ];
  });
  return Buffer.from(JSON.stringify(request));
}

/** Counts how pushes end, and says when that changes. */
function watched(
  inner: PushMetricExporter,
  counts: PushCounts,
  otlp: string,
  log: PushOrder["log"],
): PushMetricExporter {
  let hasFailed = false;
  return {
    export: (metrics, done) => {
      inner.export(metrics, (result) => {
        const { error } = result;
        const code: number = result.code;
        const isFailure = code !== 0; // ExportResultCode.SUCCESS of @opentelemetry/core
        if (isFailure) counts.failed += 1;
        else counts.ok += 1;
        if (isFailure && !hasFailed) {
          const why = error?.message ?? "no reason given";
          log("error", `cannot send latencies to ${otlp}: ${why}; goes on trying`);
        } else if (!isFailure && hasFailed) log("info", `latencies arrive at ${otlp} again`);
        hasFailed = isFailure;
        done(result);
      });
    },
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
  };
}
