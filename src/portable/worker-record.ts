/** What is known of a running worker from its beats, and how `status` shows it. */
import type { ProcessUsage } from "../os/mod.ts";
import { maskTarget } from "../base/mod.ts";
import { addressText } from "../supervision/mod.ts";
import type { CrashEvidence, StatusListener, WorkerFigures } from "../supervision/mod.ts";
import type { Beat } from "./worker-messages.ts";

export interface WorkerRecord {
  /** The last one; null before the first. */
  beat: Beat | null;
  /** When it came; when the worker was started, before the first. */
  beatAtMs: number;
  /** Between the last two beats. */
  cpuPercent: number;
}

/** Figures of a worker; the oldest request grows older while nothing is heard of it. */
export function figuresOf({ beat, beatAtMs }: WorkerRecord, nowMs: number): WorkerFigures | null {
  if (beat === null) return null;
  const { connections, inFlight, oldest, requests, loopLagMs, heapLimitBytes } = beat;
  const ageMs = Math.round((oldest?.ageMs ?? 0) + Math.max(0, nowMs - beatAtMs));
  const aged = oldest === null ? null : { method: oldest.method, path: oldest.path, ageMs };
  return { connections, inFlight, oldest: aged, requests, loopLagMs, heapLimitBytes };
}

/** What is left of a worker in this mode: its last beat, as old as that is. */
export function evidenceOf(record: WorkerRecord | null, nowMs: number): CrashEvidence {
  const figures = record === null ? null : figuresOf(record, nowMs);
  const beat = record?.beat ?? null;
  const none = {
    startedAt: null,
    connections: null,
    recovery: null,
    core: null,
    requests: [],
    work: [],
    history: [],
    stack: [],
  };
  if (record === null || figures === null || beat === null) return { ...none, heapLimitBytes: 0 };
  const { oldest, inFlight, heapLimitBytes, loopLagMs } = figures;
  const { rssBytes } = beat;
  const rest = { head: [], traceId: null, isExecuting: false };
  const outcome = "lost with its connection: portable mode keeps none";
  return {
    ...none,
    heapLimitBytes,
    requests:
      oldest === null ? [] : [{ ...oldest, path: maskTarget(oldest.path), ...rest, outcome }],
    history: [
      {
        agoMs: Math.max(0, Math.round(nowMs - record.beatAtMs)),
        loopLagMs,
        heapUsedBytes: 0,
        externalBytes: 0,
        rssBytes,
        cpuPercent: record.cpuPercent,
        gcMs: 0,
        inFlight,
        requests: 0,
      },
    ],
  };
}

/** CPU and memory as the worker measured them itself. */
export function usageOf(record: WorkerRecord | undefined): ProcessUsage | null {
  if (record === undefined || record.beat === null) return null;
  const { rssBytes, privateBytes } = record.beat;
  return { cpuPercent: record.cpuPercent, rssBytes, anonBytes: privateBytes };
}

/** Every address that some worker listens on, once. */
export function describeListeners(records: Iterable<WorkerRecord>): readonly StatusListener[] {
  const listeners = new Map<string, StatusListener>();
  for (const { beat } of records) {
    for (const { address: host, port, kind } of beat?.listeners ?? []) {
      const address = addressText(host, port, kind);
      listeners.set(`${kind} ${address}`, { address, kind });
    }
  }
  return [...listeners.values()];
}
