import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Cores } from "./cores.ts";
import type { HelperListeners } from "./helper-process.ts";
import type { WorkerLink } from "./worker-link.ts";

const CONFIG = { core: "cores", coreLimitBytes: 1e9, name: "shop" };
/** What the reactor looks at of a worker. */
const WORKER = { id: 7, index: 1, pid: 4711 } as unknown as WorkerLink;
const HELD = { kind: "held", id: 7, path: "cores/one.core.zst" };

interface World {
  readonly cores: Cores;
  readonly dumper: HelperListeners;
  readonly held: WorkerLink[];
}

/** One worker is watched by a dumper that says what the test makes it say. */
function watched(t: TestContext): World {
  const dumpers: HelperListeners[] = [];
  const held: WorkerLink[] = [];
  const cores = new Cores({
    config: () => CONFIG,
    held: (link) => held.push(link),
    log: () => undefined,
    start: (_main, _args, listeners) => {
      dumpers.push(listeners);
      return { order: () => undefined, end: () => undefined };
    },
  });
  t.after(() => cores.close());
  cores.watch(WORKER);
  const [dumper] = dumpers;
  assert.ok(dumper !== undefined);
  return { cores, dumper, held };
}

test("what became of a core is told after the end of the worker, and waited for", async (t) => {
  const { cores, dumper, held } = watched(t);
  dumper.onWord(HELD);
  assert.deepEqual(held, [WORKER]);
  const outcome = cores.outcome(7);
  await new Promise(setImmediate);
  dumper.onWord({ kind: "done", id: 7, error: "the disk is full" });
  assert.deepEqual(await outcome, { none: "the disk is full" });
  assert.equal(await cores.outcome(7), null, "it is forgotten");
});

test("one that was told before is there; without a core nobody is waited for", async (t) => {
  const { cores, dumper } = watched(t);
  dumper.onWord(HELD);
  dumper.onWord({ kind: "done", id: 7, error: null });
  assert.deepEqual(await cores.outcome(7), { path: HELD.path });
  cores.watch(WORKER);
  assert.match(JSON.stringify(await cores.outcome(7)), /it ended by itself, or was killed/);
});

test("a dumper that ends, or says nothing any more, has made none", async (t) => {
  const { cores, dumper } = watched(t);
  dumper.onWord(HELD);
  const outcome = cores.outcome(7);
  await new Promise(setImmediate);
  dumper.onEnd("SIGKILL");
  assert.deepEqual(await outcome, { none: "the dumper has ended" });
  const silent = watched(t);
  silent.dumper.onWord(HELD);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const late = silent.cores.outcome(7);
  await new Promise(setImmediate);
  t.mock.timers.tick(22_000);
  assert.deepEqual(await late, { none: "the dumper does not answer" });
});
