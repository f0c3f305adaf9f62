/**
 * Looks at the workers' memory once a second and asks for a replacement of the largest before the
 * kernel would kill one of its own choice, with all that it had in flight.
 *
 * Counted is private memory (RssAnon): what the service would have back without the worker. Pages
 * that processes share, as node's text and the ledger, are counted once, in memory-plan.ts.
 */
import type { ProcessUsage } from "../os/mod.ts";

/** A leak of 100 MiB/s is seen before it has made 100 MiB. */
export const WATCH_INTERVAL_MS = 1000;

export interface MemoryWatchPorts {
  /** Monotonic milliseconds. */
  now(): number;
  /** Every worker process, those that leave included. */
  workers(): readonly { readonly id: number; readonly pid: number }[];
  /** Looks at these processes; then `usage` answers for them. */
  measure(pids: readonly number[], nowMs: number): void;
  usage(pid: number): ProcessUsage | null;
  /** Asks for a replacement; false when this is not the time. */
  overMemory(id: number): boolean;
}

export class MemoryWatch {
  readonly #ports: MemoryWatchPorts;
  #watchBytes: number;
  #lastMs = -Infinity;

  /** @param watchBytes private memory of all workers to act at; 0: only measure */
  constructor(watchBytes: number, ports: MemoryWatchPorts) {
    this.#watchBytes = watchBytes;
    this.#ports = ports;
  }

  /** Another limit, as after a change of the number of workers. */
  configure(watchBytes: number): void {
    this.#watchBytes = watchBytes;
  }

  /** To be called often; looks once in WATCH_INTERVAL_MS. Returns the private memory then seen. */
  tick(): number | null {
    const now = this.#ports.now();
    if (now - this.#lastMs < WATCH_INTERVAL_MS) return null;
    this.#lastMs = now;
    const workers = this.#ports.workers().filter(({ pid }) => pid > 0);
    this.#ports.measure(
      workers.map(({ pid }) => pid),
      now,
    );
    const sizes = workers
      .map(({ id, pid }) => ({ id, bytes: this.#ports.usage(pid)?.anonBytes ?? 0 }))
      .toSorted((a, b) => b.bytes - a.bytes);
    const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
    if (this.#watchBytes === 0 || total <= this.#watchBytes) return total;
    // The largest may be one that leaves already, or has only just come: then the next.
    for (const { id } of sizes) if (this.#ports.overMemory(id)) break;
    return total;
  }
}
