/**
 * Placement: which worker a connection goes to. The least loaded healthy one by what the ledger
 * says; requests in flight and connections on their way count alike, a late event loop counts as
 * work that is not visible yet, and among equals the one with fewer connections gets it. One that
 * makes no progress, or could not take the last one, comes behind all others.
 */
import type { WorkerLink } from "./worker-link.ts";

/**
 * A heartbeat (every 100 ms) that is this late means that the worker is not taking anything now.
 */
export const SLUGGISH_MS = 300;
/** For so long after it had no descriptor left for a connection, a worker is hardly tried. */
export const NO_ROOM_MS = 1000;
/** Event-loop lag that counts as one request in flight. */
const LAG_MS_PER_REQUEST = 10;

/** Load in requests; `nowMs` on the machine's clock. */
export function loadOf(link: WorkerLink, nowMs: number): number {
  const silentMs = nowMs - link.heartbeatMs;
  const sluggish = silentMs > SLUGGISH_MS ? 1e6 + silentMs : 0;
  const noRoom = nowMs - link.untakenMs < NO_ROOM_MS ? 1e6 : 0;
  const late = Math.floor(link.loopLagMs / LAG_MS_PER_REQUEST);
  return link.inFlight + link.waiting + late + sluggish + noRoom;
}

/**
 * The worker for a connection of `listener`; null when none is fed, serves it and takes packets.
 */
export function place(
  links: Iterable<WorkerLink>,
  listener: number,
  nowMs: number,
): WorkerLink | null {
  let best: WorkerLink | null = null;
  let bestLoad = Infinity;
  for (const link of links) {
    if (!link.isFed || !link.listeners.has(listener) || link.isClogged) continue;
    const load = loadOf(link, nowMs);
    const isBetter = load < bestLoad || (load === bestLoad && link.owned < (best?.owned ?? 0));
    if (!isBetter) continue;
    best = link;
    bestLoad = load;
  }
  return best;
}
