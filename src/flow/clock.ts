/** The one clock of flow: that of the ledger, in milliseconds. It never goes back; and timers. */
import { performance } from "node:perf_hooks"; // the global one is behind a getter: 6 ns more

const OFFSET_MS: number = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Node's own, as they are when this is loaded: traces of the application's do not see ours. */
export const soon: typeof setImmediate = setImmediate;
export const later: typeof setTimeout = setTimeout;
export const every: typeof setInterval = setInterval;

export function nowMs(): number {
  return performance.now() + OFFSET_MS;
}
