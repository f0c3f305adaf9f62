import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryWatch } from "./memory-watch.ts";
import type { MemoryWatchPorts } from "./memory-watch.ts";

interface Machine {
  now: number;
  readonly anon: Map<number, number>;
  readonly asked: number[];
  readonly refuses: Set<number>;
  measured: number;
  readonly ports: MemoryWatchPorts;
}

function machine(sizes: Readonly<Record<number, number>>): Machine {
  const anon = new Map(Object.entries(sizes).map(([id, bytes]) => [Number(id), bytes]));
  const made: Machine = {
    now: 0,
    anon,
    asked: [],
    refuses: new Set(),
    measured: 0,
    ports: {
      now: () => made.now,
      workers: () => [...anon.keys()].map((id) => ({ id, pid: id === 9 ? 0 : 100 + id })),
      measure: (pids) => {
        made.measured += 1;
        assert.ok(!pids.includes(0), "a worker without a process is not looked at");
      },
      usage: (pid) => ({ anonBytes: anon.get(pid - 100) ?? 0, rssBytes: 0, cpuPercent: 0 }),
      overMemory: (id) => {
        made.asked.push(id);
        return !made.refuses.has(id);
      },
    },
  };
  return made;
}

test("looks once a second", () => {
  const made = machine({ 1: 10 });
  const watch = new MemoryWatch(100, made.ports);
  for (made.now = 0; made.now <= 2000; made.now += 100) watch.tick();
  assert.equal(made.measured, 3);
});

test("asks for the largest to be replaced when all together are over the limit", () => {
  const made = machine({ 1: 30, 2: 80, 3: 10, 9: 999 });
  const watch = new MemoryWatch(100, made.ports);
  assert.equal(watch.tick(), 120);
  assert.deepEqual(made.asked, [2]);
});

test("one large worker is no matter while the others are small", () => {
  const made = machine({ 1: 90, 2: 5 });
  new MemoryWatch(100, made.ports).tick();
  assert.deepEqual(made.asked, []);
});

test("goes on to the next when the largest cannot be replaced", () => {
  const made = machine({ 1: 60, 2: 70, 3: 1 });
  made.refuses.add(2);
  new MemoryWatch(100, made.ports).tick();
  assert.deepEqual(made.asked, [2, 1]);
});

test("only measures where no limit is known", () => {
  const made = machine({ 1: 1e12 });
  assert.equal(new MemoryWatch(0, made.ports).tick(), 1e12);
  assert.deepEqual(made.asked, []);
});
