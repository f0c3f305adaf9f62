/**
 * The metrics of a service, from what its control socket says. Names as prom-client and the
 * Prometheus project have them: base units, `_total` for counters.
 */
import { bucketUs } from "../base/mod.ts";
import { groupLatencies, statusText } from "../supervision/mod.ts";
import type { LatencyGroup, LatencyReport, ReportedWorker, Status } from "../supervision/mod.ts";
import { Exposition } from "./exposition.ts";
import type { PushCounts } from "./push-counts.ts";
import type { HistogramSample, Labels } from "./exposition.ts";

/** Seconds: prom-client's own, and shorter ones, since a route may take a millisecond. */
export const BOUNDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** `report` null: the mode has no latencies. */
export function renderMetrics(
  status: Status,
  report: LatencyReport | null,
  isOpen: boolean,
  counts: PushCounts | null = null,
): Exposition {
  const out = new Exposition(isOpen);
  serviceMetrics(out, status);
  workerMetrics(out, status);
  if (report !== null) {
    vitalMetrics(out, report);
    latencyMetrics(out, report);
  }
  if (counts !== null) {
    out.counter("holdfast_otlp_pushes", "Pushes to the collector, by how they ended.", [
      [{ result: "ok" }, counts.ok],
      [{ result: "failed" }, counts.failed],
    ]);
  }
  return out;
}

function serviceMetrics(out: Exposition, status: Status): void {
  const { version, mode, name, totals, limits } = status;
  out.gauge("holdfast_info", "The service; always 1.", [[{ service: name, version, mode }, 1]]);
  const started = Date.parse(status.startedAt) / 1000;
  out.gauge("holdfast_start_time_seconds", "When the service started.", [[{}, started]]);
  const states = ["starting", "running", "reloading", "degraded", "accept-paused", "stopping"];
  const state = states.map((each) => [{ state: each }, each === status.state ? 1 : 0] as const);
  out.gauge("holdfast_state", "1 for the state that the service is in.", state);
  out.gauge("holdfast_connections", "Connections that are open.", [[{}, limits.connections]]);
  out.counter("holdfast_connections_accepted", "Connections that were accepted.", [
    [{}, totals.accepted],
  ]);
  const outcomes = ["moved", "replayed", "refused", "aborted"] as const;
  out.counter(
    "holdfast_connections_recovered",
    "Connections of workers that died or were replaced, by what became of them.",
    outcomes.map((outcome) => [{ outcome }, totals[outcome]]),
  );
  out.counter("holdfast_requests", "Requests that were begun.", [[{}, totals.requests]]);
  out.counter("holdfast_requests_of_death", "Requests that are never tried again.", [
    [{}, totals.requestsOfDeath],
  ]);
  out.counter("holdfast_journal_full", "Requests that found no room in the journal.", [
    [{}, totals.journalFull],
  ]);
  out.counter("holdfast_worker_restarts", "Workers that were started again.", [
    [{}, totals.restarts],
  ]);
  out.counter("holdfast_reactor_restarts", "Reactors that were started again.", [
    [{}, status.reactorRestarts],
  ]);
}

function workerMetrics(out: Exposition, { workers }: Status): void {
  const each = (
    read: (worker: Status["workers"][number]) => number,
  ): readonly (readonly [Labels, number])[] =>
    // of two workers at one place (a reload) the one that serves comes last
    [...new Map(workers.map((worker) => [worker.index, worker])).values()].map((worker) => {
      return [{ worker: String(worker.index) }, read(worker)];
    });
  out.gauge(
    "holdfast_worker_ready",
    "1 when the worker serves.",
    each(({ state }) => {
      return state === "ready" ? 1 : 0;
    }),
  );
  out.gauge(
    "holdfast_worker_connections",
    "Connections of the worker.",
    each((worker) => {
      return worker.connections;
    }),
  );
  out.gauge(
    "holdfast_worker_requests_in_flight",
    "Requests in flight.",
    each((worker) => {
      return worker.inFlight;
    }),
  );
  out.gauge(
    "holdfast_worker_event_loop_lag_seconds",
    "How late its event loop is.",
    each((one) => {
      return one.loopLagMs / 1000;
    }),
  );
  out.gauge(
    "holdfast_worker_resident_memory_bytes",
    "Resident memory.",
    each((worker) => {
      return worker.rssBytes;
    }),
  );
  out.gauge(
    "holdfast_worker_cpu_ratio",
    "CPUs that it uses.",
    each((worker) => {
      return worker.cpuPercent / 100;
    }),
  );
  out.gauge(
    "holdfast_worker_heap_limit_bytes",
    "Limit of V8's heap.",
    each((worker) => {
      return worker.heapLimitBytes;
    }),
  );
}

function vitalMetrics(out: Exposition, { workers }: LatencyReport): void {
  const each = (read: (worker: ReportedWorker) => number) =>
    [...new Map(workers.map((worker) => [worker.index, worker])).values()].map(
      (worker) => [{ worker: String(worker.index) }, read(worker)] as const,
    );
  out.gauge(
    "holdfast_worker_heap_used_bytes",
    "V8's heap.",
    each((worker) => {
      return worker.heapUsedBytes;
    }),
  );
  out.gauge(
    "holdfast_worker_external_bytes",
    "Memory that the heap holds outside.",
    each((one) => {
      return one.externalBytes;
    }),
  );
  out.counter(
    "holdfast_worker_gc_seconds",
    "Time in garbage collection.",
    each((worker) => {
      return worker.gcMs / 1000;
    }),
  );
  out.counter(
    "holdfast_worker_gc_runs",
    "Garbage collections.",
    each((worker) => {
      return worker.gcCount;
    }),
  );
  out.counter(
    "holdfast_worker_event_loop_active_seconds",
    "Time not spent waiting.",
    each((one) => {
      return one.loopActiveMs / 1000;
    }),
  );
}

/** A histogram for each route and class of status. */
export function latencySamples(report: LatencyReport): readonly HistogramSample[] {
  const groups = groupLatencies(report, ({ name, status }) => `${statusText(status)} ${name}`);
  return [...groups].map(([key, group]) => histogramSample(labelsOf(key), group));
}

/**
 * Labels by the names of OpenTelemetry's semantic conventions for HTTP, of which an unknown method
 * is `_OTHER`. They know no class of a status, and none of a client that left.
 */
export function httpAttributes({ method, route = "", status = "" }: Labels): Labels {
  return {
    "http.request.method": method === undefined || method === "" ? "_OTHER" : method,
    "http.route": route,
    "http.response.status_class": status,
  };
}

function latencyMetrics(out: Exposition, report: LatencyReport): void {
  const groups = groupLatencies(report, ({ name, status }) => `${statusText(status)} ${name}`);
  const samples = latencySamples(report);
  const help = "From the first byte of a request, in the kernel, to the last of its response.";
  out.histogram("holdfast_http_request_duration_seconds", help, samples);
  out.counter(
    "holdfast_http_request_kernel_wait_seconds",
    "The part of it in which requests lay in the kernel.",
    [...groups].map(([key, group]) => [labelsOf(key), group.waitedUs / 1e6]),
  );
}

/** `2xx GET /orders/:id` */
function labelsOf(key: string): Labels {
  const [status = "", method = "", ...route] = key.split(" ");
  // (other) has no method
  if (route.length === 0) return { method: "", route: method, status };
  return { method, route: route.join(" "), status };
}

function histogramSample(labels: Labels, group: LatencyGroup): HistogramSample {
  const cumulated = BOUNDS.map(() => 0);
  group.counts.forEach((count, bucket) => {
    if (count <= 0) return;
    const seconds = bucketUs(bucket) / 1e6;
    BOUNDS.forEach((bound, index) => {
      if (seconds <= bound) cumulated[index] = (cumulated[index] ?? 0) + count;
    });
  });
  const { exemplar } = group;
  return {
    labels,
    buckets: BOUNDS.map((bound, index) => [bound, cumulated[index] ?? 0]),
    count: group.count,
    sum: group.sumUs / 1e6,
    exemplar:
      exemplar === null
        ? null
        : {
            labels: { trace_id: exemplar.traceId, span_id: exemplar.spanId },
            value: exemplar.us / 1e6,
            time: exemplar.atMs / 1000,
          },
  };
}
