import assert from "node:assert/strict";
import { test } from "node:test";
import { addressText, assembleStatus } from "./status.ts";
import type { StatusSources } from "./status.ts";
import type { WorkerView } from "./supervisor-types.ts";

const WORKERS: readonly WorkerView[] = [
  {
    id: 3,
    index: 0,
    generation: 2,
    pid: 103,
    state: "ready",
    role: "current",
    restarts: 1,
    lastExit: "exit 1",
  },
  {
    id: 0,
    index: 1,
    generation: 0,
    pid: 0,
    state: "failed",
    role: "current",
    restarts: 9,
    lastExit: "SIGSEGV",
  },
];

const SOURCES: StatusSources = {
  service: {
    name: "shop",
    version: "1.0.0",
    pid: 1,
    reactorPid: 2,
    reactorRestarts: 0,
    mode: "full",
    accept: "reactor",
    startedAt: "2026-01-02T03:04:05.000Z",
    entry: "/app/server.js",
  },
  supervisor: {
    state: "degraded",
    generation: 2,
    notes: ["gave up on worker 1"],
    workers: () => WORKERS,
  },
  nowMs: Date.parse("2026-01-02T03:04:06.500Z"),
  acceptPaused: null,
  notes: ["no descriptor limit"],
  listeners: [{ address: "127.0.0.1:80", kind: "tcp" }],
  totals: {
    accepted: 1,
    moved: 2,
    replayed: 3,
    refused: 4,
    aborted: 5,
    restarts: 6,
    requests: 7,
    requestsOfDeath: 8,
    journalFull: 9,
  },
  limits: { connections: 1, connectionsMax: 2, descriptorsMax: 3 },
  figures: ({ id }) => {
    assert.equal(id, 3, "only workers that have a process are looked up");
    return {
      connections: 10,
      inFlight: 2,
      requests: 99,
      loopLagMs: 1,
      heapLimitBytes: 2 ** 28,
      oldest: { method: "GET", path: "/slow", ageMs: 250 },
    };
  },
  usage: (pid) => {
    assert.equal(pid, 103);
    return { cpuPercent: 12.5, rssBytes: 5e7, anonBytes: 2e7 };
  },
};

test("status is made of the supervisor's, the ledger's and the kernel's figures", () => {
  const status = assembleStatus(SOURCES);
  assert.equal(status.uptimeMs, 1500);
  assert.equal(status.state, "degraded");
  assert.deepEqual(status.notes, ["gave up on worker 1", "no descriptor limit"]);
  assert.deepEqual(status.workers[0], {
    index: 0,
    id: 3,
    pid: 103,
    generation: 2,
    state: "ready",
    connections: 10,
    inFlight: 2,
    oldest: { method: "GET", path: "/slow", ageMs: 250 },
    requests: 99,
    loopLagMs: 1,
    heapLimitBytes: 2 ** 28,
    restarts: 1,
    lastExit: "exit 1",
    cpuPercent: 12.5,
    rssBytes: 5e7,
  });
  assert.equal(status.workers[1]?.state, "failed");
  assert.equal(status.workers[1]?.connections, 0);
  assert.deepEqual(JSON.parse(JSON.stringify(status)), status, "it survives JSON");
});

test("paused accepting is the state, and says why first", () => {
  const status = assembleStatus({ ...SOURCES, acceptPaused: "descriptor limit 1024 reached" });
  assert.equal(status.state, "accept-paused");
  assert.equal(status.notes[0], "descriptor limit 1024 reached");
});

test("a service that stops says so, though it accepts nothing", () => {
  const supervisor = { ...SOURCES.supervisor, state: "stopping" } as const;
  assert.equal(assembleStatus({ ...SOURCES, supervisor, acceptPaused: "stop" }).state, "stopping");
});

test("addresses are written as people write them", () => {
  assert.equal(addressText("0.0.0.0", 80, "tcp"), "0.0.0.0:80");
  assert.equal(addressText("::1", 80, "tcp"), "[::1]:80");
  assert.equal(addressText("/run/x.sock", 0, "unix"), "/run/x.sock");
});
