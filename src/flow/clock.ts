/** The one clock of flow: that of the ledger, in milliseconds. It never goes back. */
import { performance } from "node:perf_hooks"; // the global one is behind a getter: 6 ns more

const OFFSET_MS: number = Number(process.hrtime.bigint()) / 1e6 - performance.now();

export function nowMs(): number {
  return performance.now() + OFFSET_MS;
}
