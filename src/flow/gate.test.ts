import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { afterEach, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { Codel } from "./codel.ts";
import { withContext } from "./context.ts";
import { Deadline, deadline } from "./deadline.ts";
import { nowMs } from "./clock.ts";
import { DeadlineExceeded, Overloaded } from "./errors.ts";
import { GateQueue } from "./gate-queue.ts";
import type { Waiting } from "./gate-queue.ts";
import { Gate } from "./gate.ts";
import type { GateOptions } from "./gate.ts";
import { Permit } from "./visitor.ts";
import { makeLimit } from "./limits.ts";
import { account, inFlight } from "./work.ts";

/** Longer than any test here waits. */
const PATIENCE_MS = 60_000;

function fixed(max: number, more: Partial<GateOptions> = {}): Gate {
  return new Gate({ name: "test", limit: { kind: "fixed", max }, ...more });
}

/** The permit of a gate that has room. */
function now(gate: Gate): Permit {
  const permit = gate.enter();
  assert.ok(permit instanceof Permit);
  return permit;
}

async function refusalOf(entry: Promise<Permit> | Permit): Promise<Overloaded> {
  try {
    await entry;
  } catch (error) {
    assert.ok(error instanceof Overloaded, String(error));
    return error;
  }
  return assert.fail("it was let in");
}

/** In each suite, not in the file: there it would be for every test of the process. */
function accountsAreEmpty(): void {
  const left = inFlight();
  // of thousands a difference would take gigabytes
  assert.equal(left.length, 0, `accounts return to zero: ${JSON.stringify(left.slice(0, 3))}`);
}

describe("a gate", () => {
  afterEach(accountsAreEmpty);

  it("lets in what there is room for, and the next when one leaves", async () => {
    const gate = fixed(2);
    const first = now(gate);
    const second = now(gate);
    const third = gate.enter();
    assert.ok(third instanceof Promise);
    assert.equal(gate.queued, 1);
    assert.equal(inFlight().filter(({ state }) => state === "queued").length, 1);
    first.release();
    const permit = await third;
    assert.equal(gate.inFlight, 2);
    permit.release();
    second.release();
    second.release();
    assert.equal(gate.inFlight, 0);
    assert.equal(account("gate").inFlight, 0);
  });

  it("serves oldest first while the queue is no standing one", async () => {
    const gate = fixed(1);
    const order: number[] = [];
    const first = now(gate);
    const waiting = [1, 2, 3].map(async (each) => {
      const permit = await gate.enter();
      order.push(each);
      permit.release();
    });
    first.release();
    await Promise.all(waiting);
    assert.deepEqual(order, [1, 2, 3]);
  });

  it("calls who waited in the async context that he came in, not of who leaves", () => {
    const gate = fixed(1);
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const first = storage.run("first", () => now(gate));
    const visitor = {
      admit: (permit: Permit) => {
        seen.push(storage.getStore());
        permit.release();
      },
      refuse: () => seen.push(storage.getStore()),
    };
    storage.run("admitted", () => gate.offer(visitor));
    gate.offer(visitor);
    storage.run("leaves", () => first.release());
    const second = now(gate);
    storage.run("refused", () => gate.offer(visitor));
    storage.run("closes", () => gate.close());
    second.release();
    assert.deepEqual(seen, ["admitted", undefined, "refused"]);
  });

  it("refuses at once when its queue is full, with the time to come back", async () => {
    const gate = fixed(1, { queue: { max: 1 } });
    const first = now(gate);
    const second = gate.enter();
    assert.throws(
      () => gate.enter(),
      (error) => {
        assert.ok(error instanceof Overloaded);
        assert.equal(error.code, "ERR_HOLDFAST_OVERLOADED");
        assert.equal(error.reason, "queue-full");
        assert.ok(error.retryAfterMs >= 1);
        return true;
      },
    );
    first.release();
    (await second).release();
    assert.equal(gate.stats().refused["queue-full"], 1);
  });

  it("gives up what matters least when something that matters comes to a full queue", async () => {
    const gate = fixed(1, { queue: { max: 1 } });
    const first = now(gate);
    const least = gate.enter({ criticality: "sheddable" });
    const most = gate.enter({ criticality: "critical-plus" });
    assert.equal((await refusalOf(least)).reason, "queue-full");
    first.release();
    (await most).release();
  });

  for (const [policy, next] of [
    ["adaptive-lifo", "newest"],
    ["fifo", "older"],
  ] as const) {
    it(`${policy}: of a standing queue the old are given up, and the ${next} is next`, (t) => {
      let atMs = nowMs();
      t.mock.method(performance, "now", () => atMs);
      const gate = fixed(1, { queue: { policy, targetMs: 20, intervalMs: 100 } });
      const seen: string[] = [];
      const permits: Permit[] = [];
      const come = (name: string, afterMs: number): void => {
        atMs += afterMs;
        gate.offer({
          admit: (permit) => {
            seen.push(name);
            permits.push(permit);
          },
          refuse: (reason) => seen.push(`${name}: ${reason}`),
        });
      };
      const leave = (afterMs: number): void => {
        atMs += afterMs;
        permits.shift()?.release();
      };
      for (const name of ["first", "a", "b", "c"]) come(name, 0);
      leave(50); // an interval begins in which the least wait is longer than it may be
      leave(50);
      come("older", 50);
      come("newest", 5);
      leave(5);
      assert.deepEqual(seen, ["first", "a", "b", "c: wait", next]);
      assert.equal(gate.stats().isOverloaded, true);
      gate.close();
      permits.shift()?.release();
    });
  }

  it("takes an entry out of the queue at once when it is aborted", async () => {
    const gate = fixed(1);
    const first = now(gate);
    const controller = new AbortController();
    const second = gate.enter({ signal: controller.signal });
    assert.equal(gate.queued, 1);
    controller.abort();
    assert.equal(gate.queued, 0);
    assert.equal((await refusalOf(second)).reason, "aborted");
    assert.throws(() => gate.enter({ signal: controller.signal }), Overloaded);
    first.release();
  });

  it("takes it out when its deadline passes, and never starts what is late", async () => {
    const gate = fixed(1, { queue: { targetMs: PATIENCE_MS, maxWaitMs: PATIENCE_MS } });
    const timers = account("timer").inFlight;
    const first = now(gate);
    // not over before it is in the queue, on a busy machine too
    const second = await refusalOf(deadline.run(200, () => gate.enter()));
    assert.equal(second.reason, "expired");
    assert.ok(second.cause instanceof DeadlineExceeded);
    assert.throws(() => gate.enter({ deadline: new Deadline(nowMs() - 1) }), /deadline passes/);
    first.release();
    // that of the deadline is gone; the gate looks once more
    assert.ok(account("timer").inFlight <= timers + 1);
  });

  it("never starts what its caller has left", async () => {
    const gate = fixed(1);
    const first = now(gate);
    const reasons: string[] = [];
    gate.offer({
      admit: () => reasons.push("admitted"),
      refuse: (reason) => reasons.push(reason),
      isGone: () => true,
    });
    first.release();
    assert.deepEqual(reasons, ["client-gone"]);
  });

  it("gives up what has waited for too long although nothing comes or goes", async () => {
    const gate = fixed(1, { queue: { maxWaitMs: 20 } });
    const first = now(gate);
    assert.equal((await refusalOf(gate.enter())).reason, "wait");
    first.release();
  });

  it("observes without refusing", () => {
    const gate = fixed(1, { mode: "observe", queue: { max: 1 } });
    const permits = [now(gate), now(gate), now(gate)];
    assert.equal(gate.stats().refused["queue-full"], 1);
    assert.equal(gate.inFlight, 3);
    for (const permit of permits) permit.release();
  });

  it("says when its queue is high, and when it is low again", async () => {
    const gate = fixed(1, { highWater: 2, lowWater: 0 });
    const events: string[] = [];
    const off = gate.on("high", () => events.push("high"));
    gate.on("low", () => events.push("low"));
    const first = now(gate);
    const waiting = [gate.enter(), gate.enter(), gate.enter()];
    first.release();
    for (const each of waiting) (await each).release();
    assert.deepEqual(events, ["high", "low"]);
    off();
  });

  it("runs a function, and accounts for how it ended", async () => {
    const gate = fixed(1, { account: "gate.run" });
    assert.equal(await gate.run(() => 7), 7);
    await assert.rejects(
      gate.run(() => Promise.reject(new Error("broken"))),
      /broken/,
    );
    await assert.rejects(
      withContext({ deadline: deadline.after(5) }, () =>
        gate.run(async () => {
          await delay(10);
          throw deadline.current()?.reason ?? new Error("no deadline");
        }),
      ),
      DeadlineExceeded,
    );
    const { outcomes } = account("gate.run").totals();
    assert.deepEqual([outcomes.ok, outcomes.error, outcomes.expired], [1, 1, 1]);
  });

  it("refuses what waits and what comes when it is closed", async () => {
    const gate = fixed(1);
    const first = now(gate);
    const second = gate.enter();
    gate.close();
    assert.equal((await refusalOf(second)).reason, "closed");
    assert.throws(() => gate.enter(), /closed/);
    first.release();
  });

  it("serves a long queue of what is done at once", () => {
    const gate = fixed(1, { queue: { max: 100_000 } });
    const first = now(gate);
    let served = 0;
    for (let count = 0; count < 50_000; count += 1) {
      gate.offer({
        admit: (permit) => {
          served += 1;
          permit.release();
        },
        refuse: (_reason, _retryAfterMs, error) => assert.fail(error()),
      });
    }
    first.release();
    assert.equal(served, 50_000);
  });

  it("bears a million entries", async () => {
    const gate = fixed(1, { queue: { max: 1_000_000 } });
    const first = now(gate);
    let refused = 0;
    const visitor = {
      admit: (permit: Permit) => permit.release(),
      refuse: () => (refused += 1),
      isContextFree: true, // a million async resources would take seconds
    };
    for (let count = 0; count < 1_000_000; count += 1) gate.offer(visitor);
    assert.equal(gate.queued, 1_000_000);
    gate.close();
    assert.equal(refused, 1_000_000);
    assert.equal(gate.queued, 0);
    first.release();
    assert.equal(account("gate").inFlight, 0, "also of those that are not listed");
  });
});

describe("a standing queue", () => {
  afterEach(accountsAreEmpty);

  const options = { targetMs: 20, intervalMs: 100, maxWaitMs: 1000 };

  it("is one when even the least wait of an interval was too long", () => {
    const codel = new Codel(options);
    codel.judge(1000, 1, false);
    codel.left(50);
    codel.left(30);
    codel.judge(1050, 5, false);
    assert.equal(codel.isOverloaded, false, "the interval is not over");
    codel.judge(1101, 5, false);
    assert.equal(codel.isOverloaded, true);
    assert.equal(codel.patienceMs, 20);
    codel.judge(1202, 5, false);
    assert.equal(codel.isOverloaded, true, "it still stands");
    codel.gaveUp();
    codel.judge(1250, 0, false);
    codel.judge(1303, 5, false);
    assert.equal(codel.isOverloaded, true, "it was emptied by giving up");
    codel.judge(1350, 0, false);
    codel.judge(1404, 5, false);
    assert.equal(codel.isOverloaded, false, "it was empty once");
    assert.equal(codel.patienceMs, 1000);
  });

  it("is none after one short wait, after a pause, or when the limit is about to rise", () => {
    const short = new Codel(options);
    short.judge(1000, 1, false);
    short.left(50);
    short.left(5);
    short.judge(1101, 5, false);
    assert.equal(short.isOverloaded, false);
    const growing = new Codel(options);
    growing.judge(1000, 1, true);
    growing.left(50);
    growing.judge(1101, 5, true);
    assert.equal(growing.isOverloaded, false);
    const paused = new Codel(options);
    paused.judge(1000, 1, false);
    paused.left(50);
    paused.judge(9000, 1, false);
    assert.equal(paused.isOverloaded, false);
  });
});

describe("what waits before a gate", () => {
  afterEach(accountsAreEmpty);

  function entry(arrivedMs: number, rank: number): Waiting {
    return { arrivedMs, rank, older: null, newer: null, isQueued: false };
  }

  it("is taken out from any place, in any order (property)", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ rank: fc.nat(3), remove: fc.boolean() }), { maxLength: 40 }),
        (steps) => {
          const queue = new GateQueue();
          const entries = steps.map(({ rank }, index) => entry(index, rank));
          for (const each of entries) queue.add(each);
          const kept = entries.filter((each, index) => {
            if (steps[index]?.remove !== true) return true;
            queue.remove(each);
            queue.remove(each);
            return false;
          });
          assert.equal(queue.size, kept.length);
          assert.equal(queue.oldest(), kept[0] ?? null);
          const least = Math.min(...kept.map(({ rank }) => rank));
          const lane = kept.filter(({ rank }) => rank === least);
          assert.equal(queue.next(false), lane[0] ?? null);
          assert.equal(queue.next(true), lane.at(-1) ?? null);
          const most = Math.max(...kept.map(({ rank }) => rank));
          assert.equal(queue.worst(-1), kept.find(({ rank }) => rank === most) ?? null);
        },
      ),
    );
  });
});

describe("limits", () => {
  afterEach(accountsAreEmpty);

  const wrong: readonly [string, () => unknown][] = [
    ["limit.max", () => fixed(0)],
    ["limit.max", () => fixed(Number.NaN)],
    ["limit.max", () => fixed(-1)],
    ["queue.max", () => fixed(1, { queue: { max: -1 } })],
    ["queue.targetMs", () => fixed(1, { queue: { targetMs: Number.NaN } })],
    ["limit.min", () => new Gate({ name: "x", limit: { kind: "gradient", min: 0 } })],
    ["limit.initial", () => new Gate({ name: "x", limit: { kind: "loop", initial: 9, max: 3 } })],
    ["limit.kind", () => new Gate({ name: "x", limit: { kind: "magic" } as never })],
    ["limit", () => new Gate({ name: "x" } as never)], // what JavaScript does not hinder
    ["options", () => new Gate(undefined as never)], // the same
    ["name", () => new Gate({ name: "", limit: { kind: "fixed", max: 1 } })],
  ];
  for (const [option, make] of wrong) {
    it(`${option}: says what is wrong in ${String(make).slice(6)}`, () => {
      assert.throws(make, (error) => {
        assert.ok(error instanceof Error);
        assert.equal((error as { code?: string }).code, "ERR_HOLDFAST_FLOW_OPTION");
        assert.ok(error.message.includes(option), error.message);
        return true;
      });
    });
  }

  it("a gradient goes down with timeouts to its floor, and up again", () => {
    const gate = new Gate({ name: "up", limit: { kind: "gradient", initial: 16, max: 64 } });
    const one = (sample: "ok" | "drop"): void => {
      const permits = Array.from({ length: gate.limit }, () => now(gate));
      for (const permit of permits) permit.release(sample);
    };
    one("drop");
    assert.equal(gate.limit, 8);
    for (let count = 0; count < 400; count += 1) one("ok");
    assert.ok(gate.limit > 8, String(gate.limit));
  });

  it("a gradient is soon back at half of where it was, and careful from there", () => {
    const limit = makeLimit({ kind: "gradient", initial: 32, max: 64 });
    let atMs = 0;
    for (let drops = 0; drops < 6; drops += 1) limit.ended("drop", 0, 32, (atMs += 200));
    assert.equal(limit.value, 1);
    for (let count = 0; count < 15; count += 1) limit.ended("ok", 10, 32, (atMs += 10));
    assert.equal(limit.value, 16);
    for (let count = 0; count < 15; count += 1) limit.ended("ok", 10, 32, (atMs += 10));
    assert.equal(limit.value, 16);
    limit.ended("drop", 0, 32, (atMs += 200)); // too much already
    limit.ended("drop", 0, 32, (atMs += 200));
    for (let count = 0; count < 5; count += 1) limit.ended("ok", 10, 32, (atMs += 10));
    assert.equal(limit.value, 8);
  });

  it("a busy loop's limit falls to what is in before it is reached", () => {
    const [slower, steady] = [makeLimit({ kind: "loop" }), makeLimit({ kind: "loop" })];
    const initial = slower.value;
    // this loop is never idle, since the test does not return to it
    for (let inFlight = 1; inFlight <= 20; inFlight += 1) {
      slower.ended("ok", 10 * inFlight, inFlight, 100_000 + 50 * inFlight);
      steady.ended("ok", 10 + inFlight, inFlight, 100_000 + 50 * inFlight);
    }
    assert.ok(slower.value < 20, String(slower.value));
    assert.equal(steady.value, initial); // it takes no longer than it should
  });

  it("a loop's limit grows while the loop is idle and something waits", async () => {
    const gate = new Gate({
      name: "loop",
      limit: { kind: "loop", initial: 1, max: 50 },
      queue: { targetMs: PATIENCE_MS, maxWaitMs: PATIENCE_MS }, // on a busy machine it takes long
    });
    const entries = Array.from({ length: 20 }, () => gate.enter());
    const gathered = Promise.all(entries.map((entry) => Promise.resolve(entry)));
    const endsAt = nowMs() + PATIENCE_MS / 2;
    while (gate.queued > 0 && nowMs() < endsAt) await delay(10); // idle, as its limit wants it
    const permits = await gathered;
    assert.ok(gate.limit >= 20, String(gate.limit));
    for (const permit of permits) permit.release();
  });
});
