import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { World, ignore } from "./supervisor-world.test.ts";

/** One random event; `pick` chooses the process it happens to. */
function happen(world: World, [event, pick]: readonly [string, number]): void {
  const { supervisor } = world;
  const living = world.living();
  const process = living[pick % Math.max(1, living.length)];
  if (event === "advance") return world.advance((pick % 40) * 500);
  if (event === "reload") return void supervisor.reload(ignore, 1 + (pick % 4));
  if (event === "restart") return void supervisor.restart(pick % 2 === 0 ? null : pick % 3, ignore);
  if (event === "scale") return void supervisor.scale(pick % 5, ignore);
  if (event === "stop") return void (pick % 9 === 0 && supervisor.stop(pick % 2 === 0));
  if (event === "obey") return world.obey();
  if (process === undefined) return;
  if (event === "ready") world.ready(process);
  if (event === "drained") supervisor.drained(process.id);
  if (event === "stalled") supervisor.stalled(process.id);
  if (event === "recovered") supervisor.recovered(process.id);
  if (event === "memory") supervisor.overMemory(process.id);
  if (event === "exit") world.exit(process, pick % 3, pick % 4 === 0 ? "SIGKILL" : null);
  if (event === "spawnFailed" && process.state === "asked") {
    world.processes.delete(process.id);
    supervisor.spawnFailed(process.id, "EAGAIN");
  }
}

function check(world: World): void {
  const rows = world.supervisor.workers();
  const ids = rows.flatMap(({ id }) => (id === 0 ? [] : [id]));
  assert.deepEqual(
    ids.toSorted((a, b) => a - b),
    [...world.processes.keys()].toSorted((a, b) => a - b),
  );
  const current = rows.filter(({ role }) => role === "current").map(({ index }) => index);
  assert.equal(new Set(current).size, current.length, "one current worker at an index");
  assert.ok(ids.length <= 3 * 4, `${ids.length} processes for at most 4 workers`);
  assert.ok(world.finishes.length <= 1, "finishes once");
  assert.ok(
    world.finishes.every(({ left }) => left === 0),
    "and leaves nobody behind",
  );
}

test("whatever happens, nobody is unaccounted for, and stop always ends the run", () => {
  const events = [
    "advance",
    "reload",
    "restart",
    "scale",
    "stop",
    "obey",
    "ready",
    "ready",
    "ready",
    "drained",
    "stalled",
    "recovered",
    "memory",
    "exit",
    "spawnFailed",
  ];
  const event = fc.tuple(fc.constantFrom(...events), fc.nat({ max: 1000 }));
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (happenings) => {
      const world = new World();
      world.supervisor.boot();
      for (const happening of happenings) {
        happen(world, happening);
        if (world.finishes.length > 0) return;
        check(world);
      }
      void world.supervisor.stop(false);
      for (let round = 0; round < 60 && world.finishes.length === 0; round += 1) {
        // the keeper answers and the kernel kills before the supervisor's patience is over
        for (const { id, state } of world.living()) {
          if (state === "asked") world.spawned(world.process(id));
        }
        for (const { id, signals } of world.living()) {
          if (signals.includes("SIGKILL")) world.exit(world.process(id), null, "SIGKILL");
        }
        if (world.finishes.length === 0) world.advance(1000);
        check(world);
      }
      assert.equal(world.finishes.length, 1);
      assert.equal(world.processes.size, 0);
    }),
    { numRuns: 20_000 },
  );
});
