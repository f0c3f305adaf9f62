/**
 * Heartbeats: which workers make progress. A worker writes the time into the ledger every 100 ms
 * from its event loop; one whose loop is held up does not.
 *
 * A silence counts only while the reactor itself was awake: if the machine, the container or the
 * reactor slept, nobody's heartbeat was late.
 */
import { SLUGGISH_MS } from "./placement.ts";
import type { WorkerLink } from "./worker-link.ts";

/** How often `tick` is called. */
export const TICK_MS = 100;
/** A gap between two ticks beyond this is the reactor's own sleep, not the workers'. */
const TICK_GAP_MAX_MS = 3 * TICK_MS;

/** What a tick found. */
export interface HeartbeatFindings {
  /** Makes no progress, for this long. */
  readonly silent: { readonly link: WorkerLink; readonly silentMs: number }[];
  /** Makes progress, or is held on purpose. */
  readonly moving: WorkerLink[];
  /** Take nothing out of their channels at the moment. */
  readonly sluggish: WorkerLink[];
}

/**
 * How far a worker is. One that has thousands of connections to serve in one turn of its event loop
 * runs no timer meanwhile, but takes connections and begins requests.
 */
interface Progress {
  readonly heartbeatMs: number;
  readonly requests: number;
  readonly received: number;
}

/** See the file's docstring. */
export class Heartbeats {
  /**
   * For each worker: how far it was when last seen, and for how long (awake) it has stood still.
   */
  readonly #seen: Map<number, { progress: Progress; silentMs: number }> = new Map();
  #lastTickMs: number;

  constructor(nowMs: number) {
    this.#lastTickMs = nowMs;
  }

  /**
   * Looks at every worker that has run its preload.
   */
  tick(nowMs: number, links: Iterable<WorkerLink>): HeartbeatFindings {
    const awakeMs = Math.min(nowMs - this.#lastTickMs, TICK_GAP_MAX_MS);
    this.#lastTickMs = nowMs;
    const findings: HeartbeatFindings = { silent: [], moving: [], sluggish: [] };
    for (const link of links) {
      const { heartbeatMs, requests, received } = link;
      const seen = this.#seen.get(link.id);
      const stands =
        seen?.progress.heartbeatMs === heartbeatMs &&
        seen.progress.requests === requests &&
        seen.progress.received === received;
      if (!stands) {
        // it has been silent since its heartbeat, as far as the reactor was awake
        const isBeat = seen !== undefined && seen.progress.heartbeatMs !== heartbeatMs;
        const sinceMs = isBeat ? Math.min(Math.max(0, nowMs - heartbeatMs), awakeMs) : 0;
        const progress = { heartbeatMs, requests, received };
        this.#seen.set(link.id, { progress, silentMs: sinceMs });
        findings.moving.push(link);
        continue;
      }
      if (heartbeatMs === 0) continue; // not attached yet: the ready timeout is for that
      seen.silentMs += awakeMs;
      if (seen.silentMs > SLUGGISH_MS) findings.sluggish.push(link);
      if (link.holds === 0) findings.silent.push({ link, silentMs: seen.silentMs });
      else seen.silentMs = Math.min(seen.silentMs, SLUGGISH_MS + 1); // counts once it is let go
    }
    return findings;
  }

  forget(workerId: number): void {
    this.#seen.delete(workerId);
  }
}
