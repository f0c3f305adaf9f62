import assert from "node:assert/strict";
import { test } from "node:test";
import { isCrash } from "../supervision/crash-report.ts";
import { CONFIG, EXAMPLE_BEAT, World } from "./portable-world.test.ts";

const ignore = (): void => undefined;

function running(): World {
  const world = new World();
  world.run();
  return world;
}

test("the first worker starts alone, the others when it is ready", () => {
  const world = new World();
  world.service.boot();
  assert.equal(world.workers.length, 1);
  world.at(0).start();
  assert.equal(world.workers.length, 2);
  world.at(1).start();
  assert.deepEqual(world.states(), ["0 ready", "1 ready"]);
});

test("a first worker that ends by itself ends the run with its code", () => {
  const world = new World();
  world.service.boot();
  world.at(0).events.spawned(1001);
  world.at(0).end(3);
  assert.deepEqual(world.finishes, [3]);
});

test("a first worker that the system refuses ends the run with 70", async () => {
  const world = new World();
  world.failsToStart = "spawn EAGAIN";
  world.service.boot();
  await Promise.resolve();
  assert.deepEqual(world.finishes, [70]);
  assert.match(world.log.join("\n"), /EAGAIN/);
});

test("the status tells what the beats told, and says that it is portable", () => {
  const world = running();
  world.advance(100, []);
  const { mode, pid, reactorPid, listeners, totals, limits, workers } = world.status();
  assert.deepEqual([mode, pid, reactorPid], ["portable", process.pid, process.pid]);
  assert.deepEqual(listeners, [{ address: "127.0.0.1:8080", kind: "tcp" }]);
  assert.deepEqual([totals.accepted, totals.requests, totals.moved], [10, 18, 0]);
  assert.equal(limits.connections, 4);
  const [first] = workers;
  assert.deepEqual([first?.connections, first?.inFlight, first?.requests], [2, 1, 9]);
  assert.deepEqual(first?.oldest, { method: "GET", path: "/slow", ageMs: 500 });
  assert.equal(first?.rssBytes, EXAMPLE_BEAT.rssBytes);
});

test("what a dead worker had counted stays in the totals", () => {
  const world = running();
  world.at(1).end(null, "SIGKILL");
  assert.equal(world.status().totals.requests, 18);
  assert.equal(world.status().totals.restarts, 1);
  assert.deepEqual(world.states(), ["0 ready", "1 starting"]);
});

test("a worker that is not heard of is killed and replaced, one that is heard is not", async () => {
  const world = running();
  world.advance(900, [world.at(0)]);
  assert.deepEqual(world.at(1).signals, []);
  world.advance(300, [world.at(0)]);
  await Promise.resolve();
  assert.deepEqual(world.at(0).signals, []);
  assert.equal(world.at(1).signals.at(-1), "SIGKILL");
  world.at(1).end(null, "SIGKILL");
  assert.equal(world.workers.length, 3);
  assert.equal(world.status().workers[1]?.lastExit, "SIGKILL, stalled");
});

test("one that cannot be heard any more is not said to have stalled", () => {
  const world = running();
  world.at(1).events.disconnected();
  world.advance(5000, [world.at(0)]);
  assert.deepEqual(world.at(1).signals, []);
});

test("a reload starts all new workers before an old one drains", async () => {
  const world = running();
  const done = world.service.reload(null, ignore);
  await Promise.resolve();
  await Promise.resolve();
  world.at(2).start();
  assert.deepEqual(world.at(0).lingers, []);
  world.at(3).start();
  for (const old of [world.at(0), world.at(1)]) {
    assert.deepEqual(old.lingers, [2000], "clients may ask once more");
    old.events.drained();
    assert.deepEqual(old.signals, ["SIGTERM"]);
    old.end(0);
  }
  assert.deepEqual([(await done).ok, world.status().generation], [true, 2]);
});

test("a reload to a version that ends leaves the old one, and its environment", async () => {
  const world = running();
  world.config = { ...CONFIG, env: { GREETING: "new" } };
  const done = world.service.reload(null, ignore);
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(world.at(2).version.config.env, { GREETING: "new" });
  world.at(2).events.spawned(1003);
  world.at(2).end(1);
  const { ok, output } = await done;
  assert.deepEqual([ok, output], [false, "its last words"]);
  assert.deepEqual(world.states(), ["0 ready", "1 ready"]);
  world.at(0).end(1);
  assert.deepEqual(world.at(3).version.config.env, {});
});

test("a reload keeps the number of workers that scale has set", async () => {
  const world = running();
  const scaled = world.service.controlled().scale(1, ignore);
  world.at(1).events.drained();
  world.at(1).end(0);
  assert.equal((await scaled).ok, true);
  const reloaded = world.service.reload(null, ignore);
  await Promise.resolve();
  await Promise.resolve();
  world.at(2).start();
  world.at(0).events.drained();
  world.at(0).end(0);
  assert.equal((await reloaded).ok, true);
  assert.deepEqual(world.states(), ["0 ready"]);
});

test("stopping ends idle connections at once, and the run when all workers have gone", async () => {
  const world = running();
  const stopped = world.service.stop(false);
  for (const worker of world.workers) {
    assert.deepEqual(worker.lingers, [0]);
    worker.events.drained();
    assert.deepEqual(worker.signals, ["SIGTERM"]);
    worker.end(null, "SIGTERM");
  }
  assert.equal((await stopped).ok, true);
  assert.deepEqual(world.finishes, [0]);
});

test("a worker that does not drain gets SIGTERM at the deadline, then SIGKILL", () => {
  const world = running();
  void world.service.stop(false);
  world.advance(CONFIG.drainTimeoutMs);
  assert.deepEqual(world.at(0).signals, ["SIGTERM"]);
  world.advance(5000);
  assert.deepEqual(world.at(0).signals, ["SIGTERM", "SIGKILL"]);
});

test("a crash is told with the last beat; an end that was asked for is none", async () => {
  const world = running();
  world.at(0).end(null, "SIGSEGV");
  const [crashed] = world.deaths;
  assert.equal(crashed?.death.text, "SIGSEGV");
  assert.equal(crashed.death.output, "its last words");
  assert.deepEqual(
    crashed.evidence.requests.map(({ method, path }) => `${method} ${path}`),
    ["GET /slow"],
  );
  assert.equal(crashed.evidence.history[0]?.rssBytes, EXAMPLE_BEAT.rssBytes);
  assert.equal(crashed.evidence.connections, null);
  world.at(2).start();
  void world.service.stop(false); // resolves when all have ended
  for (const worker of world.workers.slice(1)) worker.events.drained();
  for (const worker of world.workers.slice(1)) worker.end(null, "SIGTERM");
  const ends = world.deaths.slice(1).map(({ death }) => isCrash(death));
  assert.deepEqual([...new Set(ends)], [false]);
});
