/**
 * How this process is, written into its row at each heartbeat: V8's heap, garbage collection, and
 * for how long its event loop has not been waiting. Read by `holdfast top`, by metrics, and after a
 * crash.
 */
import { PerformanceObserver, performance } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { Ledger, WorkerTable } from "../ledger/mod.ts";

/** See the file's docstring. A beat costs less than a microsecond. */
export class Vitals {
  readonly #workers: WorkerTable;
  readonly #row: number;
  readonly #ledgerBytes: number;
  #gcCount = 0;
  #gcMs = 0;

  constructor(ledger: Ledger, row: number) {
    this.#workers = ledger.workers;
    this.#ledgerBytes = ledger.bytes;
    this.#row = row;
    // Node reports each collection when the loop turns next, and keeps no process alive for it
    const observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        this.#gcCount += 1;
        this.#gcMs += duration;
      }
    });
    observer.observe({ entryTypes: ["gc"] });
  }

  /** Called at each heartbeat. */
  beat(): void {
    const row = this.#row;
    const workers = this.#workers;
    const { used_heap_size: used, external_memory: external } = getHeapStatistics();
    workers.setFloat(row, "heapUsedBytes", used);
    workers.setFloat(row, "externalBytes", Math.max(0, external - this.#ledgerBytes));
    workers.setFloat(row, "gcCount", this.#gcCount);
    workers.setFloat(row, "gcMs", this.#gcMs);
    workers.setFloat(row, "loopActiveMs", performance.eventLoopUtilization().active);
  }
}
