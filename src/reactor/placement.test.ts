import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Heartbeats, TICK_MS } from "./heartbeats.ts";
import type { HeartbeatFindings } from "./heartbeats.ts";
import { SLUGGISH_MS, loadOf, place } from "./placement.ts";
import type { WorkerLink } from "./worker-link.ts";

const NOW = 1_000_000;
const LISTENER = 1;

interface Fake {
  id: number;
  isFed: boolean;
  isClogged: boolean;
  inFlight: number;
  waiting: number;
  loopLagMs: number;
  heartbeatMs: number;
  owned: number;
  requests: number;
  received: number;
  holds: number;
  untakenMs: number;
  listeners: Set<number>;
}

function fake(change: Partial<Fake> = {}): Fake {
  return {
    id: 1,
    isFed: true,
    isClogged: false,
    inFlight: 0,
    waiting: 0,
    loopLagMs: 0,
    heartbeatMs: NOW,
    owned: 0,
    requests: 0,
    received: 0,
    holds: 0,
    untakenMs: -Infinity,
    listeners: new Set([LISTENER]),
    ...change,
  };
}

/** What placement and heartbeats look at is plain figures. */
function link(change: Partial<Fake> = {}): WorkerLink {
  return fake(change) as unknown as WorkerLink;
}

function chosen(...fakes: Partial<Fake>[]): number | null {
  const links = fakes.map((change, index) => link({ id: index, ...change }));
  return place(links, LISTENER, NOW)?.id ?? null;
}

describe("a connection is placed on", () => {
  const table: [string, Partial<Fake>[], number | null][] = [
    ["nobody, when there is nobody", [], null],
    ["the one with less in flight", [{ inFlight: 3 }, { inFlight: 2 }, { inFlight: 4 }], 1],
    ["the one with less on its way", [{ waiting: 1 }, {}], 1],
    ["one that took the last one", [{ untakenMs: NOW - 10 }, { inFlight: 9 }], 1],
    ["one that could not take one long ago", [{ untakenMs: NOW - 5000 }, { inFlight: 9 }], 0],
    ["the one whose loop is less late", [{ loopLagMs: 50 }, { loopLagMs: 20 }], 1],
    [
      "the first, when a late loop weighs less than a request",
      [{ loopLagMs: 9 }, { inFlight: 1 }],
      0,
    ],
    ["among equals, the one with fewer connections", [{ owned: 5 }, { owned: 4 }, { owned: 5 }], 1],
    ["no worker that is not fed", [{ isFed: false }, { inFlight: 9 }], 1],
    ["no worker without a server for it", [{ listeners: new Set([2]) }, { inFlight: 9 }], 1],
    ["no worker whose channel is clogged", [{ isClogged: true }, { inFlight: 9 }], 1],
    [
      "no silent worker while another one beats",
      [{ heartbeatMs: NOW - 400 }, { inFlight: 900 }],
      1,
    ],
    ["the least silent, when all are", [{ heartbeatMs: NOW - 900 }, { heartbeatMs: NOW - 400 }], 1],
    ["nobody, when all are unfit", [{ isFed: false }, { isClogged: true }], null],
  ];
  for (const [name, fakes, expected] of table) {
    it(name, () => assert.equal(chosen(...fakes), expected));
  }

  it("always the fit one of the least load", () => {
    const any = fc.record({
      isFed: fc.boolean(),
      isClogged: fc.boolean(),
      inFlight: fc.nat(5),
      waiting: fc.nat(5),
      loopLagMs: fc.nat(100),
      heartbeatMs: fc.integer({ min: NOW - 1000, max: NOW }),
      owned: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 6 }), (changes) => {
        const links = changes.map((change) => link(change));
        const fit = links.filter(({ isFed, isClogged }) => isFed && !isClogged);
        const best = place(links, LISTENER, NOW);
        assert.equal(best === null, fit.length === 0);
        if (best === null) return;
        for (const other of fit) assert.ok(loadOf(best, NOW) <= loadOf(other, NOW));
      }),
    );
  });
});

const STALL_MS = 2000;

/** Ids of the workers that are past the limit. */
function stalledIn({ silent }: HeartbeatFindings): readonly number[] {
  return silent.filter(({ silentMs }) => silentMs > STALL_MS).map(({ link: { id } }) => id);
}

/** Lets time pass in ticks; says at which of them a worker was found sluggish and stalled. */
function watch(
  worker: Fake,
  ticks: number,
  each: (nowMs: number, tick: number) => void = () => undefined,
): { sluggish: number; stalled: number } {
  const heartbeats = new Heartbeats(NOW);
  let [sluggish, stalled] = [-1, -1];
  for (let tick = 1, now = NOW; tick <= ticks; tick += 1) {
    now += TICK_MS;
    each(now, tick);
    const found = heartbeats.tick(now, [worker as unknown as WorkerLink]);
    if (sluggish < 0 && found.sluggish.length > 0) sluggish = tick;
    if (stalled < 0 && stalledIn(found).length > 0) stalled = tick;
  }
  return { sluggish, stalled };
}

describe("heartbeats", () => {
  it("one that beats is neither sluggish nor stalled", () => {
    const worker = fake();
    const beats = watch(worker, 100, (now) => (worker.heartbeatMs = now));
    assert.deepEqual(beats, { sluggish: -1, stalled: -1 });
  });

  it("one that stands still is sluggish, then stalled behind the limit, and not before", () => {
    const { sluggish, stalled } = watch(fake(), 100);
    // the first tick only sees it
    assert.equal(sluggish, 1 + SLUGGISH_MS / TICK_MS + 1);
    assert.equal(stalled, 1 + STALL_MS / TICK_MS + 1);
  });

  it("one that runs no timer, but takes connections or begins requests, makes progress", () => {
    for (const field of ["requests", "received"] as const) {
      const worker = fake();
      const found = watch(worker, 100, (_, tick) => (worker[field] = tick));
      assert.deepEqual(found, { sluggish: -1, stalled: -1 }, field);
    }
  });

  it("one that beats once begins anew", () => {
    const worker = fake();
    const { stalled } = watch(worker, 30, (now, tick) => {
      if (tick === 15) worker.heartbeatMs = now;
    });
    assert.equal(stalled, -1);
  });

  it("one that has not attached yet is not judged", () => {
    assert.deepEqual(watch(fake({ heartbeatMs: 0 }), 100), { sluggish: -1, stalled: -1 });
  });

  it("one that is held on purpose is not silent, however long it takes", () => {
    const found = watch(fake({ holds: 1 }), 100);
    assert.equal(found.stalled, -1);
    assert.ok(found.sluggish > 0, "but nobody is sent there");
  });

  it("one is silent since its heartbeat, not since somebody looked", () => {
    const heartbeats = new Heartbeats(NOW);
    const worker = fake();
    heartbeats.tick(NOW, [worker as unknown as WorkerLink]);
    worker.heartbeatMs = NOW + 10;
    heartbeats.tick(NOW + 100, [worker as unknown as WorkerLink]);
    const [silent] = heartbeats.tick(NOW + 200, [worker as unknown as WorkerLink]).silent;
    assert.equal(silent?.silentMs, 190);
  });

  it("the reactor's own sleep is nobody's silence", () => {
    const heartbeats = new Heartbeats(NOW);
    const worker = link();
    heartbeats.tick(NOW, [worker]);
    const found = heartbeats.tick(NOW + 3_600_000, [worker]);
    assert.deepEqual([stalledIn(found), found.sluggish], [[], []]);
    // but what follows is
    let now = NOW + 3_600_000;
    let stalled = 0;
    for (let tick = 0; tick < 30; tick += 1) {
      now += TICK_MS;
      stalled += stalledIn(heartbeats.tick(now, [worker])).length;
    }
    assert.ok(stalled > 0);
  });

  it("one that is forgotten is seen for the first time", () => {
    const heartbeats = new Heartbeats(NOW);
    let now = NOW;
    for (let tick = 0; tick < 15; tick += 1) heartbeats.tick((now += TICK_MS), [link()]);
    heartbeats.forget(1);
    let stalled = 0;
    for (let tick = 0; tick < 15; tick += 1) {
      stalled += stalledIn(heartbeats.tick((now += TICK_MS), [link()])).length;
    }
    assert.equal(stalled, 0);
  });

  it("each of several workers is judged by itself", () => {
    const heartbeats = new Heartbeats(NOW);
    const [still, beating] = [fake({ id: 1 }), fake({ id: 2 })];
    const stalled: number[] = [];
    for (let tick = 1; tick < 40; tick += 1) {
      const now = NOW + tick * TICK_MS;
      beating.heartbeatMs = now;
      const links = [still, beating] as unknown as WorkerLink[];
      stalled.push(...stalledIn(heartbeats.tick(now, links)));
    }
    assert.deepEqual([...new Set(stalled)], [1]);
  });
});
