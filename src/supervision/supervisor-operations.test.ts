import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProgressEvent } from "./operation.ts";
import { KILL_WAIT_MS, STALL_RECOVERY_MS, STOP_GRACE_MS } from "./supervisor-types.ts";
import { OPTIONS, World, ignore, resultOf, running } from "./supervisor-world.test.ts";

test("reload: all old workers serve until every new one is ready, then drain and end", async () => {
  const world = running();
  const old = [world.at(0), world.at(1)];
  const progress: ProgressEvent[] = [];
  const reload = world.supervisor.reload((event) => progress.push(event));
  assert.equal(world.supervisor.state, "reloading");
  assert.equal(world.processes.size, 3, "the first new worker starts alone");
  world.ready(world.at(0));
  assert.equal(world.at(0).isFed, false, "a new worker is not fed before all are ready");
  assert.ok(old.every((process) => process.drain === null));
  world.ready(world.at(1));
  assert.ok(world.at(0).isFed && world.at(1).isFed);
  assert.ok(old.every((process) => process.drain === "move"));
  assert.deepEqual(world.commits.at(-1), { generation: 2, workers: 2, stopping: false });
  for (const process of old) world.supervisor.drained(process.id);
  assert.deepEqual(
    old.map(({ signals }) => signals),
    [["SIGTERM"], ["SIGTERM"]],
  );
  assert.equal((await resultOf(reload)).message, "still pending");
  world.obey();
  assert.equal((await resultOf(reload)).ok, true);
  assert.deepEqual(
    progress.map(({ event }) => event),
    ["starting", "ready", "starting", "ready", "serving", "ended", "ended"],
  );
  assert.equal(world.supervisor.state, "running");
});

test("reload: a worker that does not drain gets SIGTERM at the deadline, then SIGKILL", () => {
  const world = running();
  const old = world.at(0);
  void world.supervisor.reload(ignore);
  world.ready(world.at(0));
  world.ready(world.at(1));
  world.advance(OPTIONS.drainTimeoutMs - 100);
  assert.deepEqual(old.signals, []);
  world.advance(100);
  assert.deepEqual(old.signals, ["SIGTERM"]);
  world.advance(STOP_GRACE_MS);
  assert.deepEqual(old.signals, ["SIGTERM", "SIGKILL"]);
});

test("reload: a new worker that crashes leaves the old ones alone, gives its output", async () => {
  const world = running();
  const old = [world.at(0), world.at(1)];
  const reload = world.supervisor.reload(ignore);
  const first = world.ready(world.at(0));
  world.spawned(world.at(1));
  world.exit(world.at(1), 1, null, "Error: no database");
  assert.equal(first.drain, "move", "it may have accepted by itself");
  world.supervisor.drained(first.id);
  world.obey();
  const result = await resultOf(reload);
  assert.equal(result.ok, false);
  assert.equal(result.output, "Error: no database");
  assert.match(result.message, /reload failed: new worker 1 ended: exit 1; the old one stays/);
  assert.ok(old.every(({ signals, drain }) => signals.length === 0 && drain === null));
  assert.equal(world.supervisor.generation, 1);
  assert.equal(world.supervisor.state, "running");
});

test("reload: a new worker that is not ready in time fails it, with what it wrote", async () => {
  const world = running();
  const reload = world.supervisor.reload(ignore);
  const next = world.at(0);
  world.spawned(next);
  world.advance(30_000);
  assert.deepEqual(next.signals, ["SIGTERM"]);
  world.exit(next, null, "SIGTERM", "waiting for godot");
  const result = await resultOf(reload);
  assert.match(result.message, /was not ready within 30s/);
  assert.equal(result.output, "waiting for godot");
  assert.equal(world.processes.size, 2);
});

test("reload: after one that failed, the next has a generation of its own", async () => {
  const world = running();
  const failed = world.supervisor.reload(ignore);
  world.exit(world.at(0), 1);
  assert.equal((await resultOf(failed)).ok, false);
  void world.supervisor.reload(ignore);
  assert.equal(world.at(0).generation, 3);
  world.exit(world.at(1), 1);
  assert.equal(world.at(1).generation, 1, "a crashed old worker is restarted as what it was");
});

test("reload: a second one is refused while one runs", async () => {
  const world = running();
  void world.supervisor.reload(ignore);
  const second = await resultOf(world.supervisor.reload(ignore));
  assert.equal(second.refused, "busy");
  assert.match(second.message, /a reload is under way/);
});

test("reload: a new worker that stalls before all are ready fails it", async () => {
  const world = running();
  const reload = world.supervisor.reload(ignore);
  const first = world.ready(world.at(0));
  const second = world.at(1);
  world.spawned(second);
  world.supervisor.stalled(first.id);
  world.supervisor.ready(second.id); // too late
  assert.deepEqual([first.signals, second.signals], [["SIGSTOP"], ["SIGTERM"]]);
  world.supervisor.recovered(first.id);
  world.exit(first, null, "SIGKILL", "it spins");
  world.obey();
  const result = await resultOf(reload);
  assert.deepEqual([result.ok, result.output], [false, "it spins"]);
  assert.equal(result.message, "reload failed: new worker 0 stalled; the old one stays");
  assert.deepEqual(world.states(), ["0 ready current", "1 ready current"]);
  assert.equal(world.supervisor.state, "running");
});

test("reload: refused while the first worker starts", async () => {
  const world = new World();
  world.supervisor.boot();
  assert.equal((await resultOf(world.supervisor.reload(ignore))).refused, "busy");
});

test("reload: an old worker that crashes meanwhile is restarted, and replaced all the same", () => {
  const world = running();
  void world.supervisor.reload(ignore);
  const next = world.ready(world.at(0));
  const old = world.living().find(({ id }) => id === 2);
  assert.ok(old);
  world.exit(old, 1);
  const restarted = world.at(1);
  assert.equal(restarted.generation, 1);
  const second = world.living().find(({ id }) => id > next.id && id < restarted.id);
  assert.ok(second);
  world.ready(second);
  world.spawned(restarted);
  assert.ok(next.isFed && second.isFed);
  assert.deepEqual(restarted.signals, ["SIGKILL"], "nobody wanted it any more");
});

test("reload can change the number of workers", () => {
  const world = running();
  void world.supervisor.reload(ignore, 1);
  world.ready(world.at(0));
  assert.deepEqual(world.states(), ["0 draining leaving", "0 ready current", "1 draining leaving"]);
});

test("stop during a reload wins", async () => {
  const world = running();
  const reload = world.supervisor.reload(ignore);
  world.spawned(world.at(0));
  const stop = world.supervisor.stop(false);
  assert.match((await resultOf(reload)).message, /reload given up: the service stops/);
  for (const { id } of world.living()) world.supervisor.drained(id);
  world.obey();
  assert.equal((await resultOf(stop)).ok, true);
  assert.deepEqual(world.finishes, [{ code: 0, reason: "stopped", left: 0 }]);
});

test("stop leaves nobody frozen: one that stalls late has its time to be recovered", () => {
  const world = running();
  void world.supervisor.stop(false);
  world.exit(world.at(0), 0);
  const late = world.at(1);
  world.advance(OPTIONS.drainTimeoutMs - 100);
  world.supervisor.stalled(late.id);
  world.advance(STALL_RECOVERY_MS - 100);
  assert.deepEqual([late.signals, world.finishes], [["SIGSTOP"], []]);
  world.advance(100);
  assert.deepEqual([late.signals, world.finishes], [["SIGSTOP", "SIGKILL"], []]);
  world.advance(KILL_WAIT_MS);
  assert.deepEqual(world.finishes, [{ code: 0, reason: "stopped", left: 1 }], "SIGKILL is all");
});

test("restart of one worker replaces that one only", async () => {
  const world = running();
  const [other, old] = [world.at(0), world.at(1)];
  const restart = world.supervisor.restart(1, ignore);
  world.ready(world.at(1));
  assert.equal(world.at(1).generation, 2);
  assert.equal(old.drain, "move");
  assert.equal(other.drain, null);
  world.supervisor.drained(old.id);
  world.obey();
  assert.equal((await resultOf(restart)).ok, true);
  assert.equal((await resultOf(world.supervisor.restart(7, ignore))).refused, "invalid");
});

test("scale up and down", async () => {
  const world = running();
  const up = world.supervisor.scale(4, ignore);
  world.ready(world.at(2));
  world.ready(world.at(3));
  assert.equal((await resultOf(up)).message, "scale done: 4 workers in service");
  assert.deepEqual(world.commits.at(-1), { generation: 1, workers: 4, stopping: false });
  const down = world.supervisor.scale(1, ignore);
  assert.deepEqual(world.states(), [
    "0 ready current",
    "1 draining leaving",
    "2 draining leaving",
    "3 draining leaving",
  ]);
  for (const { id } of world.living()) world.supervisor.drained(id);
  world.obey();
  assert.equal((await resultOf(down)).ok, true);
  assert.equal((await resultOf(world.supervisor.scale(1, ignore))).ok, true, "nothing to do");
  assert.equal((await resultOf(world.supervisor.scale(0, ignore))).refused, "invalid");
  assert.equal((await resultOf(world.supervisor.scale(1e9, ignore))).refused, "invalid");
});

test("scale up that fails leaves the number as it was", async () => {
  const world = running();
  const up = world.supervisor.scale(3, ignore);
  world.spawned(world.at(2));
  world.exit(world.at(2), 1, null, "port in use");
  const result = await resultOf(up);
  assert.deepEqual([result.ok, result.output], [false, "port in use"]);
  assert.deepEqual(world.states(), ["0 ready current", "1 ready current"]);
});
