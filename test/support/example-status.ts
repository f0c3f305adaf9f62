/** For tests: what the control socket might say. */
import type { Status } from "../../src/supervision/mod.ts";

/** A worker that serves. */
export const EXAMPLE_WORKER: Status["workers"][number] = {
  index: 0,
  id: 3,
  pid: 4713,
  generation: 2,
  state: "ready",
  connections: 12,
  inFlight: 1,
  oldest: { method: "GET", path: "/slow", ageMs: 1234 },
  requests: 1024,
  restarts: 0,
  lastExit: null,
  loopLagMs: 1,
  cpuPercent: 12.4,
  rssBytes: 64 * 1024 * 1024,
  heapLimitBytes: 512 * 1024 * 1024,
};

/** Of a service with a worker that serves and one that has just died. */
export function exampleStatus(): Status {
  return {
    name: "shop",
    version: "0.1.0",
    pid: 4711,
    reactorPid: 4712,
    reactorRestarts: 0,
    mode: "full",
    accept: "reactor",
    startedAt: "2026-01-02T03:04:05.000Z",
    uptimeMs: 192_000,
    generation: 2,
    entry: "/srv/shop/server.js",
    state: "running",
    notes: ["worker 1 is restarted in 2s"],
    listeners: [
      { address: "127.0.0.1:3000", kind: "tcp" },
      { address: "/run/shop.socket", kind: "unix" },
    ],
    workers: [
      EXAMPLE_WORKER,
      {
        ...EXAMPLE_WORKER,
        index: 1,
        id: 9,
        pid: 0,
        state: "backoff",
        connections: 0,
        inFlight: 0,
        oldest: null,
        requests: 7,
        restarts: 4,
        lastExit: "SIGKILL",
        cpuPercent: 0,
        rssBytes: 0,
        heapLimitBytes: 0,
      },
    ],
    totals: {
      accepted: 100,
      moved: 3,
      replayed: 2,
      refused: 1,
      aborted: 0,
      restarts: 4,
      requests: 1031,
      requestsOfDeath: 0,
      journalFull: 0,
    },
    limits: { connections: 12, connectionsMax: 65_536, descriptorsMax: 1_048_576 },
  };
}
