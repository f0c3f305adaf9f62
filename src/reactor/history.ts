/**
 * How the workers were in the last minutes, looked at from outside: for the report of a crash,
 * where a heap that grew or a loop that lagged says more than the last words.
 *
 * ```
 *   every tick: the longest lag is kept     every SAMPLE_MS: one sample, SAMPLES_MAX of each worker
 * ```
 */
import type { Ledger } from "../ledger/mod.ts";
import type { ProcessUsage } from "../os/mod.ts";
import type { CrashSample } from "../supervision/mod.ts";
import type { WorkerLink } from "./worker-link.ts";

export const SAMPLE_MS = 1000;
/** Two minutes; some 10 KiB a worker. */
export const SAMPLES_MAX = 120;

/** What is looked at of a worker. */
export type Sampled = Pick<
  WorkerLink,
  "id" | "pid" | "row" | "loopLagMs" | "heartbeatMs" | "inFlight" | "requests"
>;

type Sample = Omit<CrashSample, "agoMs"> & { readonly atMs: number };

interface Watched {
  readonly samples: Sample[];
  /** As of the sample before. */
  sampledAtMs: number;
  gcMs: number;
  requests: number;
  loopLagMs: number;
}

export interface HistoryPorts {
  readonly ledger: Ledger;
  usage(pid: number): ProcessUsage | null;
  silenceMs(link: Sampled): number;
}

/** See the file's docstring. */
export class History {
  readonly #ports: HistoryPorts;
  readonly #workers = new Map<number, Watched>();

  constructor(ports: HistoryPorts) {
    this.#ports = ports;
  }

  /** Called every tick. */
  tick(links: Iterable<Sampled>, nowMs: number): void {
    for (const link of links) {
      const watched = this.#watched(link, nowMs);
      const lagMs = Math.max(link.loopLagMs, this.#ports.silenceMs(link));
      watched.loopLagMs = Math.max(watched.loopLagMs, Math.round(lagMs));
      if (nowMs - watched.sampledAtMs >= SAMPLE_MS) this.#sample(link, watched, nowMs);
    }
  }

  /** The samples of a worker up to now, oldest first; the last one is of this moment. */
  of(link: Sampled, nowMs: number): readonly CrashSample[] {
    const watched = this.#workers.get(link.id);
    if (watched === undefined) return [];
    const lagMs = Math.round(Math.max(link.loopLagMs, this.#ports.silenceMs(link)));
    watched.loopLagMs = Math.max(watched.loopLagMs, lagMs);
    this.#sample(link, watched, nowMs);
    return watched.samples.map(({ atMs, ...sample }) => {
      return Object.assign(sample, { agoMs: Math.max(0, Math.round(nowMs - atMs)) });
    });
  }

  forget(id: number): void {
    this.#workers.delete(id);
  }

  #watched(link: Sampled, nowMs: number): Watched {
    const found = this.#workers.get(link.id);
    if (found !== undefined) return found;
    const { ledger } = this.#ports;
    const gcMs = ledger.workers.float(link.row, "gcMs");
    const fresh = { samples: [], sampledAtMs: nowMs, gcMs, requests: link.requests, loopLagMs: 0 };
    this.#workers.set(link.id, fresh);
    return fresh;
  }

  #sample(link: Sampled, watched: Watched, nowMs: number): void {
    const { workers } = this.#ports.ledger;
    const usage = this.#ports.usage(link.pid);
    const gcMs = workers.float(link.row, "gcMs");
    const { requests } = link;
    watched.samples.push({
      atMs: nowMs,
      loopLagMs: watched.loopLagMs,
      heapUsedBytes: workers.float(link.row, "heapUsedBytes"),
      externalBytes: workers.float(link.row, "externalBytes"),
      rssBytes: usage?.rssBytes ?? 0,
      cpuPercent: usage?.cpuPercent ?? 0,
      gcMs: Math.max(0, gcMs - watched.gcMs),
      inFlight: Math.max(0, link.inFlight),
      requests: Math.max(0, requests - watched.requests),
    });
    if (watched.samples.length > SAMPLES_MAX) watched.samples.shift();
    watched.sampledAtMs = nowMs;
    watched.gcMs = gcMs;
    watched.requests = requests;
    watched.loopLagMs = 0;
  }
}
