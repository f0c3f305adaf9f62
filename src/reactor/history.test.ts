import assert from "node:assert/strict";
import { it } from "node:test";
import { Ledger } from "../ledger/mod.ts";
import { closeDescriptor } from "../os/mod.ts";
import { History, SAMPLES_MAX, SAMPLE_MS } from "./history.ts";
import type { Sampled } from "./history.ts";

const TICK_MS = 100;
const USAGE = { cpuPercent: 40, rssBytes: 1000, anonBytes: 500 };

it("keeps two minutes of a worker: the longest lag, and what came between two samples", () => {
  const fd = Ledger.create({ connectionsMax: 1, workersMax: 1 });
  const ledger = Ledger.attach(fd);
  closeDescriptor(fd);
  const row = ledger.workers.claim(7, 0, 1);
  const { workers } = ledger;
  const link: Sampled = {
    id: 7,
    pid: 1,
    row,
    loopLagMs: 0,
    heartbeatMs: 0,
    inFlight: 0,
    get requests() {
      return workers.float(row, "requests");
    },
  };
  let silenceMs = 0;
  const ports = { ledger, usage: () => USAGE, silenceMs: () => silenceMs };
  const history = new History(ports);
  assert.deepEqual(history.of(link, 0), []);
  let now = 0;
  const pass = (ms: number, each: () => void = () => undefined): void => {
    for (const until = now + ms; now < until; now += TICK_MS) {
      each();
      history.tick([link], now);
    }
  };
  pass(SAMPLE_MS + TICK_MS);
  silenceMs = 700; // a stall that is over before the next sample
  pass(TICK_MS);
  silenceMs = 0;
  pass(SAMPLE_MS, () => {
    ledger.workers.setFloat(row, "requests", link.requests + 3);
    ledger.workers.setFloat(row, "gcMs", ledger.workers.float(row, "gcMs") + 2);
  });
  const samples = history.of(link, now);
  const stalled = samples.find(({ loopLagMs }) => loopLagMs === 700);
  assert.ok(stalled !== undefined, JSON.stringify(samples));
  const sum = (key: "requests" | "gcMs"): number => samples.reduce((all, one) => all + one[key], 0);
  assert.deepEqual([sum("requests"), sum("gcMs")], [30, 20]);
  assert.equal(samples.at(-1)?.agoMs, 0);
  assert.ok(samples.every(({ rssBytes, cpuPercent }) => rssBytes === 1000 && cpuPercent === 40));
  pass(2 * SAMPLES_MAX * SAMPLE_MS);
  assert.equal(history.of(link, now).length, SAMPLES_MAX);
  history.forget(7);
  assert.deepEqual(history.of(link, now), []);
});
