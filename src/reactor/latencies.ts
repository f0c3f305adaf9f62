/** The latencies of a service that runs in full mode: read from the ledger, asked of nobody. */
import { reportSeries } from "../supervision/mod.ts";
import type { LatencyReport, ReportedWorker } from "../supervision/mod.ts";
import type { Observation } from "./observation.ts";
import type { Service } from "./service.ts";
import type { WorkerLink } from "./worker-link.ts";

/** The report as of now. */
export function latencyReport(service: Service, observation: Observation): LatencyReport {
  const { hello, ledger, links } = service;
  return {
    atMs: Date.now(),
    startedAt: hello.startedAt,
    workers: [...links.values()].map((link) => reportedWorker(service, observation, link)),
    gone: reportSeries(ledger.latencyOfGoneWorkers().read()),
  };
}

function reportedWorker(
  { ledger }: Service,
  observation: Observation,
  link: WorkerLink,
): ReportedWorker {
  const { row } = link;
  const { workers } = ledger;
  return {
    index: link.index,
    id: link.id,
    pid: link.pid,
    generation: link.generation,
    requests: link.requests,
    inFlight: Math.max(0, link.inFlight),
    connections: workers.int(row, "connections"),
    loopLagMs: Math.round(Math.max(link.loopLagMs, observation.silenceMs(link))),
    loopActiveMs: workers.float(row, "loopActiveMs"),
    heapUsedBytes: workers.float(row, "heapUsedBytes"),
    heapLimitBytes: workers.float(row, "heapLimitBytes"),
    externalBytes: workers.float(row, "externalBytes"),
    gcCount: workers.float(row, "gcCount"),
    gcMs: workers.float(row, "gcMs"),
    series: reportSeries(ledger.latency(row).read()),
  };
}
