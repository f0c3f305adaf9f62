/** The status of a service that runs in full mode: where each fact comes from. */
import { VERSION } from "../base/mod.ts";
import type { ProcessMeter } from "../os/mod.ts";
import { assembleStatus } from "../supervision/mod.ts";
import type { Status } from "../supervision/mod.ts";
import type { Observation } from "./observation.ts";
import type { Service } from "./service.ts";

/** The status as of now. Reads the ledger and /proc; asks no worker. */
export function serviceStatus(
  service: Service,
  observation: Observation,
  meter: ProcessMeter,
): Status {
  const { config, hello, ledger, pausedReason, retention, supervisor } = service;
  return assembleStatus({
    service: {
      name: config.name,
      version: VERSION,
      pid: hello.keeperPid,
      reactorPid: process.pid,
      reactorRestarts: hello.reactorRestarts,
      mode: "full",
      accept: config.accept,
      startedAt: hello.startedAt,
      entry: config.entry,
    },
    supervisor,
    nowMs: Date.now(),
    acceptPaused: pausedReason === null ? null : `accepting pauses: ${pausedReason}`,
    notes: [],
    listeners: service.listeners.describe(),
    totals: observation.totals(supervisor.restarts),
    limits: {
      connections: retention.count,
      connectionsMax: ledger.shape.connectionsMax,
      descriptorsMax: observation.descriptorsMax,
    },
    figures: ({ id }) => observation.figures(service.links.get(id)),
    usage: (pid) => meter.of(pid),
  });
}
