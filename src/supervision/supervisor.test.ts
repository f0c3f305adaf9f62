import assert from "node:assert/strict";
import { test } from "node:test";
import { OPERATION_EDGES } from "./operation.ts";
import { PLACE_EDGES } from "./place.ts";
import { KILL_WAIT_MS, RUN_EDGES, STALL_RECOVERY_MS, STOP_GRACE_MS } from "./supervisor-types.ts";
import { OPTIONS, World, ignore, resultOf, running } from "./supervisor-world.test.ts";
import { LIFE_EDGES } from "./worker-life.ts";

test("every edge of every state machine leads to a state that exists", () => {
  for (const edges of [LIFE_EDGES, PLACE_EDGES, OPERATION_EDGES, RUN_EDGES]) {
    const states = Object.keys(edges);
    assert.ok(states.length >= 4);
    assert.deepEqual(
      Object.values(edges)
        .flat()
        .filter((state) => !states.includes(state)),
      [],
    );
  }
});

test("the first worker starts alone, the others when it is ready", () => {
  const world = new World({ workers: 3 });
  world.supervisor.boot();
  assert.equal(world.supervisor.state, "starting");
  assert.deepEqual(world.states(), ["0 starting current"]);
  world.ready(world.at(0));
  assert.ok(world.at(0).isFed);
  assert.deepEqual(world.commits, [{ generation: 1, workers: 3, stopping: false }]);
  assert.equal(world.processes.size, 3);
  assert.equal(world.supervisor.state, "starting");
  world.readyAll();
  assert.equal(world.supervisor.state, "running");
});

for (const [name, code, signal, expected] of [
  ["0", 0, null, 0],
  ["3", 3, null, 3],
  ["SIGTERM", null, "SIGTERM", 143],
] as const) {
  test(`a first worker that ends by ${name} before it is ready ends all with ${expected}`, () => {
    const world = new World();
    world.supervisor.boot();
    world.spawned(world.at(0));
    world.exit(world.at(0), code, signal);
    assert.equal(world.finishes[0]?.code, expected);
    const isQuiet = world.log.length === 0;
    assert.equal(isQuiet, signal === null, "a script that ends by itself is not commented on");
  });
}

test("a first worker that cannot be spawned ends the run with 70", () => {
  const world = new World();
  world.supervisor.boot();
  world.processes.clear();
  world.supervisor.spawnFailed(1, "EAGAIN");
  assert.equal(world.finishes[0]?.code, 70);
  assert.match(world.log[0] ?? "", /could not be started: EAGAIN/);
});

test("a first worker that is not ready in time ends the run with 75 and says what to do", () => {
  const world = new World();
  world.supervisor.boot();
  world.spawned(world.at(0));
  world.advance(30_000);
  assert.match(world.log.join("\n"), /server\.js neither listened.*raise --ready-timeout/);
  assert.deepEqual(world.at(0).signals, ["SIGTERM"]);
  world.advance(STOP_GRACE_MS);
  assert.deepEqual(world.at(0).signals, ["SIGTERM", "SIGKILL"]);
  world.obey();
  assert.equal(world.finishes[0]?.code, 75);
});

test("a crash is followed by a restart at once, then after 100 ms, doubling", () => {
  const world = running({ restartIntensity: { restarts: 100, periodMs: 60_000 } });
  world.exit(world.at(1), 1);
  world.spawned(world.at(1));
  world.exit(world.at(1), null, "SIGSEGV");
  assert.deepEqual(world.states(), ["0 ready current", "1 backoff current"]);
  assert.equal(world.supervisor.state, "degraded");
  world.advance(100);
  world.exit(world.at(1), 1);
  world.advance(100);
  assert.deepEqual(world.states(), ["0 ready current", "1 backoff current"]);
  world.advance(100);
  world.ready(world.at(1));
  assert.deepEqual(world.states(), ["0 ready current", "1 ready current"]);
  assert.equal(world.supervisor.restarts, 3);
  assert.equal(world.supervisor.workers()[1]?.lastExit, "exit 1");
});

test("waits start anew after a worker was healthy for a while", () => {
  const world = running({ restartIntensity: { restarts: 100, periodMs: 600_000 } });
  for (let count = 0; count < 5; count += 1) {
    world.advance(20_000);
    world.exit(world.at(1), 1);
    world.ready(world.at(1));
  }
  assert.equal(world.supervisor.state, "running");
});

test("a worker that ends by itself with 0 is started again", () => {
  const world = running();
  world.exit(world.at(0), 0);
  world.ready(world.at(0));
  assert.equal(world.supervisor.state, "running");
  assert.equal(world.supervisor.workers()[0]?.restarts, 1);
});

test("gives up on one worker and says so, and the others go on", () => {
  const world = running();
  const { id } = world.at(0);
  for (let count = 0; count < 4; count += 1) {
    world.exit(world.at(1), 1);
    world.advance(1000);
  }
  assert.deepEqual(world.states(), ["0 ready current", "1 failed current"]);
  assert.equal(world.supervisor.state, "degraded");
  assert.match(world.supervisor.notes[0] ?? "", /gave up on worker 1: more than 3 restarts in 1m/);
  assert.equal(world.processes.size, 1);
  assert.ok(world.processes.has(id));
  assert.equal(world.finishes.length, 0);
});

test("ends with 70 when every worker was given up", () => {
  const world = running({ workers: 1 });
  for (let count = 0; count < 4; count += 1) {
    world.exit(world.at(0), 1);
    world.advance(1000);
  }
  assert.deepEqual(
    world.finishes.map(({ code }) => code),
    [70],
  );
});

test("a worker that was given up comes back with a reload", async () => {
  const world = running();
  for (let count = 0; count < 4; count += 1) {
    world.exit(world.at(1), 1);
    world.advance(1000);
  }
  const reload = world.supervisor.reload(ignore);
  world.ready(world.at(0));
  world.ready(world.at(1));
  world.supervisor.drained(1);
  world.obey();
  assert.equal((await resultOf(reload)).ok, true);
  assert.equal(world.supervisor.state, "running");
  assert.deepEqual(world.supervisor.notes, []);
});

test("a stalled worker is frozen, recovered, killed, and replaced", () => {
  const world = running();
  const stalled = world.at(1);
  world.supervisor.stalled(stalled.id);
  world.supervisor.stalled(stalled.id);
  assert.deepEqual(stalled.signals, ["SIGSTOP"]);
  assert.deepEqual(world.recovering, [stalled.id]);
  world.supervisor.recovered(stalled.id);
  assert.deepEqual(stalled.signals, ["SIGSTOP", "SIGKILL"]);
  world.obey();
  world.ready(world.at(1));
  assert.equal(world.supervisor.workers()[1]?.lastExit, "SIGKILL, stalled");
  assert.equal(world.supervisor.state, "running");
});

test("a stalled worker is killed although its recovery never reports", () => {
  const world = running();
  world.supervisor.stalled(world.at(1).id);
  world.advance(STALL_RECOVERY_MS);
  assert.deepEqual(world.at(1).signals, ["SIGSTOP", "SIGKILL"]);
});

test("a stall while a worker starts is left to the ready timeout", () => {
  const world = running();
  world.exit(world.at(1), 1);
  world.spawned(world.at(1));
  world.supervisor.stalled(world.at(1).id);
  assert.deepEqual(world.at(1).signals, []);
});

test("a worker over its memory goes only when its replacement is ready", () => {
  const world = running();
  const old = world.at(1);
  assert.equal(world.supervisor.overMemory(old.id), true);
  assert.equal(world.supervisor.overMemory(old.id), false, "once");
  assert.equal(world.supervisor.overMemory(world.at(0).id), false, "one at a time");
  assert.equal(old.drain, null);
  const next = world.ready(world.at(1));
  assert.equal(next.generation, old.generation);
  assert.ok(next.isFed);
  assert.equal(old.drain, "move");
  assert.equal(world.supervisor.overMemory(next.id), false, "the old one is still there");
  world.supervisor.drained(old.id);
  world.obey();
  assert.equal(world.supervisor.workers()[1]?.lastExit, "exit 0, memory limit");
  assert.equal(world.supervisor.overMemory(next.id), true);
});

test("a replacement that fails leaves the old worker, and is tried again later", () => {
  const world = running();
  const old = world.at(1);
  world.supervisor.overMemory(old.id);
  world.exit(world.at(1), 1);
  assert.equal(world.supervisor.overMemory(old.id), false);
  world.advance(10_000);
  assert.equal(world.supervisor.overMemory(old.id), true);
  assert.equal(old.drain, null);
});

test("the replacement takes over at once when the old worker dies first", () => {
  const world = running();
  const old = world.at(1);
  world.supervisor.overMemory(old.id);
  world.exit(old, null, "SIGKILL");
  assert.equal(world.processes.size, 2);
  world.ready(world.at(1));
  assert.equal(world.supervisor.state, "running");
});

test("stop closes idle connections, ends each worker when drained, and finishes with 0", () => {
  const world = running();
  void world.supervisor.stop(false);
  assert.deepEqual(
    world.living().map(({ drain }) => drain),
    ["close", "close"],
  );
  assert.equal(world.supervisor.state, "stopping");
  world.supervisor.drained(1);
  assert.deepEqual(world.at(0).signals, ["SIGTERM"]);
  world.exit(world.at(0), 0);
  assert.equal(world.finishes.length, 0);
  world.advance(OPTIONS.drainTimeoutMs);
  world.obey();
  assert.deepEqual(world.finishes, [{ code: 0, reason: "stopped", left: 0 }]);
});

test("stop now kills everybody and finishes with the code that was asked for", () => {
  const world = running();
  void world.supervisor.stop(false);
  void world.supervisor.stop(true, 130);
  assert.ok(world.living().every(({ signals }) => signals.includes("SIGKILL")));
  world.obey();
  assert.deepEqual(
    world.finishes.map(({ code }) => code),
    [130],
  );
});

test("a process that survives SIGKILL does not hold up the end for ever", () => {
  const world = running();
  void world.supervisor.stop(true);
  world.advance(KILL_WAIT_MS);
  assert.deepEqual(
    world.finishes.map(({ code, left }) => [code, left]),
    [[137, 2]],
  );
  assert.match(world.log.join("\n"), /left behind: pids 10001, 10002/);
});

test("the keeper's death drains everybody, and nobody waits for who was never spawned", () => {
  const world = running();
  world.exit(world.at(1), 1);
  const unborn = world.at(1);
  world.supervisor.keeperLost();
  assert.equal(world.process(1).drain, "close");
  world.supervisor.drained(1);
  world.exit(world.process(1), 0);
  assert.deepEqual([...world.processes.keys()], [unborn.id]);
  assert.equal(world.finishes[0]?.reason, "the keeper has gone");
});

test("a new reactor adopts what runs, restarts what is missing, and undoes half a reload", () => {
  const world = new World({ workers: 3 });
  const adopted = [
    { id: 4, index: 0, generation: 2, pid: 14, phase: "ready" },
    { id: 5, index: 1, generation: 2, pid: 15, phase: "ready" },
    { id: 7, index: 0, generation: 3, pid: 17, phase: "ready" },
    { id: 3, index: 0, generation: 1, pid: 13, phase: "draining" },
  ] as const;
  for (const { id, index, generation } of adopted) {
    world.processes.set(id, {
      id,
      index,
      generation,
      state: "running",
      signals: [],
      isFed: false,
      drain: null,
    });
  }
  world.supervisor.adopt(adopted, { generation: 2, lastId: 9, lastGeneration: 3 });
  assert.deepEqual(
    [3, 4, 5, 7].map((id) => world.process(id).drain),
    ["move", null, null, "move"],
  );
  assert.deepEqual(
    [4, 5, 7].map((id) => world.process(id).isFed),
    [true, true, false],
  );
  assert.deepEqual([world.at(2).id, world.at(2).generation], [10, 2]);
  world.ready(world.at(2));
  assert.equal(world.supervisor.state, "running");
  void world.supervisor.reload(ignore);
  assert.equal(world.at(0).generation, 4);
});

test("a new reactor goes on with a boot that was not finished", () => {
  const world = new World();
  const worker = { id: 1, index: 0, generation: 1 };
  world.processes.set(1, { ...worker, state: "running", signals: [], isFed: false, drain: null });
  const nothing = { generation: 0, lastId: 1, lastGeneration: 1 };
  world.supervisor.adopt([{ ...worker, pid: 11, phase: "starting" }], nothing);
  assert.equal(world.supervisor.phase, "first");
  world.exit(world.process(1), 4);
  assert.deepEqual(
    world.finishes.map(({ code }) => code),
    [4],
  );
});
