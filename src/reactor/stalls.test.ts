import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import type { AgentRequest, MainStack } from "../base/mod.ts";
import { Stalls } from "./stalls.ts";
import type { StallPorts } from "./stalls.ts";
import type { WorkerLink } from "./worker-link.ts";

const STACK = {
  state: "running",
  frames: [
    { name: "spin", file: "/app/a.js", line: 3, column: 5, variables: [["n", "7"]] },
    { name: "", file: "node:timers", line: 1, column: 1 },
  ],
  requestSeen: null,
  route: null,
  awaitedBy: ["async main (/app/a.js:9:1)"],
  framesMore: 0,
  heldMs: 1,
};

/** A reactor in which time passes by hand. */
class Bench {
  readonly said: { level: string; message: string; fields: object }[] = [];
  readonly asked: string[] = [];
  evicted = 0;
  nowMs = 10_000;
  cpuMs: number | null = 0;
  runDelayMs = 0;
  state = "S";
  /** Of the request that is being executed, when that is asked. */
  ageMs: number | null = 50;
  answer: (request: AgentRequest) => unknown = () => STACK;
  prepared = 0;
  seen: (pid: number) => object = () => {
    throw new Error("nobody may look");
  };
  readonly limits = {
    stallWarnMs: 500,
    stallLimitMs: 5000,
    stallRescue: false,
    heapSnapshotNearHeapLimit: 0,
    runtimeDir: "/run",
    name: "shop",
  };
  readonly link: WorkerLink;
  readonly stalls: Stalls;

  constructor({ lacksLedger = false } = {}) {
    const ask = (request: AgentRequest): Promise<unknown> => {
      this.asked.push(request.kind);
      return Promise.resolve().then(() => this.answer(request));
    };
    // what stalls look at
    const link = {
      id: 1,
      index: 0,
      pid: 42,
      heartbeatMs: 1,
      progress: "1 2 3",
      holds: 0,
      isReady: true,
      isEnding: false,
      lastStack: [],
      lastRoute: null,
      agent: { ask },
    };
    this.link = link as unknown as WorkerLink;
    const ports: StallPorts = {
      nowMs: () => this.nowMs,
      config: () => this.limits,
      mainThread: () => {
        const { cpuMs, runDelayMs, state } = this;
        return cpuMs === null ? null : { cpuMs, runDelayMs, state };
      },
      executing: () => {
        if (this.ageMs === null) return null;
        return { request: "GET /spin?a=1", route: "GET /spin", ageMs: this.ageMs };
      },
      lacksLedger,
      evict: () => (this.evicted += 1),
      log: (level, message, fields) => void this.said.push({ level, message, fields }),
    };
    const lookout = {
      prepare: () => void (this.prepared += 1),
      // as much of one as the tests look at
      look: (pid: number) => Promise.resolve().then(() => this.seen(pid) as MainStack),
    };
    this.stalls = new Stalls(ports, lookout);
  }

  /** Silent up to `untilMs`, looked at every 100 ms; the CPU is used for that share of it. */
  async silent(untilMs: number, { from = 100, share = 1 } = {}): Promise<void> {
    for (let silentMs = from; silentMs <= untilMs; silentMs += 100) {
      this.stalls.silent(this.link, silentMs);
      this.nowMs += 100;
      if (this.cpuMs !== null) this.cpuMs += 100 * share;
      this.runDelayMs += 100 * (1 - share);
      mock.timers.tick(100);
      await settled();
    }
  }

  messages(): readonly string[] {
    return this.said.map(({ level, message }) => `${level} ${message}`);
  }
}

/** What has been asked is answered. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 12; turn += 1) await Promise.resolve();
}

describe("a worker without progress", () => {
  beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
  afterEach(() => mock.timers.reset());

  it("is reported once, with what it does", async () => {
    const bench = new Bench();
    await bench.silent(2000);
    assert.equal(bench.said.length, 1);
    const [{ level, message, fields } = { level: "", message: "", fields: {} }] = bench.said;
    assert.equal(level, "warn");
    assert.match(message, /^worker 0 makes no progress for \d+ms and uses the CPU in spin \(\/app/);
    const { request, route, stack, variables } = fields as Record<string, unknown>;
    assert.equal(request, "GET /spin?a=1");
    assert.equal(route, "GET /spin", "as nothing in the worker knew better");
    assert.equal(
      stack,
      "spin (/app/a.js:3:5) < (anonymous) (node:timers:1:1) < async main (/app/a.js:9:1)",
    );
    assert.equal(variables, "spin: n=7");
    assert.equal(bench.link.lastStack.length, 3);
    assert.equal(bench.link.lastRoute, "GET /spin");
  });

  it("is not said to be silent for less than the threshold", async () => {
    const bench = new Bench();
    bench.cpuMs = null;
    bench.stalls.silent(bench.link, 420);
    bench.nowMs += 77; // the timer goes off before the clock has got there
    mock.timers.tick(80);
    await settled();
    assert.deepEqual(bench.messages(), []);
    bench.nowMs += 3;
    mock.timers.tick(3);
    await settled();
    assert.match(bench.messages()[0] ?? "", /makes no progress for 500ms in spin/);
    assert.equal(bench.said.length, 1);
  });

  it("has the route that the worker tells", async () => {
    const bench = new Bench();
    bench.answer = () => ({ ...STACK, route: "GET /:name" });
    await bench.silent(2000);
    const [{ fields } = { fields: {} }] = bench.said;
    assert.equal((fields as Record<string, unknown>)["route"], "GET /:name");
    assert.equal(bench.link.lastRoute, "GET /:name");
  });

  it("that does not use the CPU is said to be blocked", async () => {
    const bench = new Bench();
    await bench.silent(1000, { share: 0 });
    assert.match(bench.messages()[0] ?? "", /and is blocked/);
    const waiting = new Bench();
    waiting.state = "R"; // for a CPU, on a busy machine
    await waiting.silent(1000, { share: 0 });
    assert.match(waiting.messages()[0] ?? "", /and uses the CPU/);
  });

  it("is reported without a stack where there is none to be had", async () => {
    const bench = new Bench();
    bench.cpuMs = null;
    bench.answer = () => {
      throw new Error("it has no agent");
    };
    await bench.silent(1000);
    assert.match(
      bench.messages()[0] ?? "",
      /makes no progress for \d+ms: it has no agent; nobody may look$/,
    );
  });

  it("is not reported when it is ending, unless JavaScript keeps it from that", async () => {
    const bench = new Bench();
    Object.assign(bench.link, { isEnding: true });
    bench.answer = () => {
      throw new Error("its agent has ended");
    };
    await bench.silent(2000);
    assert.deepEqual(bench.messages(), []);
    const clearing = new Bench();
    Object.assign(clearing.link, { isEnding: true });
    clearing.answer = () => ({ ...STACK, state: "native", frames: [] });
    await clearing.silent(2000);
    assert.deepEqual(clearing.messages(), []);
    const listener = new Bench();
    Object.assign(listener.link, { isEnding: true });
    await listener.silent(2000);
    assert.match(listener.messages()[0] ?? "", /makes no progress/);
  });

  it("whose agent is not answered is looked at from outside", async () => {
    const bench = new Bench();
    bench.answer = () => new Promise(() => undefined);
    const native = { ...STACK, state: "native" } as const;
    bench.seen = () => native;
    await bench.silent(2000);
    assert.equal(bench.prepared, 1);
    assert.match(
      bench.messages()[0] ?? "",
      / in code that is not JavaScript, called by spin \(\/app\/a\.js:3\)$/,
    );
    assert.ok(JSON.stringify(bench.said[0]?.fields).includes('"state":"native"'));
  });

  it("whose loop lets the agent in is told by it, also when it is slow", async () => {
    const byAgent = "GET /count";
    for (const [state, share, lacksLedger, told] of [
      ["running", 0.7, false, byAgent], // a busy machine
      ["running", 1, true, byAgent], // nobody else knows the request
      ["running", 1, false, undefined], // a loop in which V8 forgets to look
      ["native", 0.7, false, undefined],
    ] as const) {
      const bench = new Bench({ lacksLedger });
      const { promise, resolve } = Promise.withResolvers();
      bench.answer = () => promise;
      bench.seen = () => ({ ...STACK, state, requestSeen: null });
      await bench.silent(600, { share });
      resolve({ ...STACK, requestSeen: byAgent });
      await bench.silent(2000, { from: 700, share });
      const [{ fields } = { fields: {} }] = bench.said;
      assert.equal((fields as Record<string, unknown>)["requestSeen"], told);
    }
  });

  it("is silent since the request that it executes was begun, not since the look after", () => {
    const table = [
      { ageMs: 50, heartbeatMs: 1, inMs: 50 }, // silent for 100: prepared for at 150
      { ageMs: 130, heartbeatMs: 1, inMs: 20 },
      { ageMs: 130, heartbeatMs: 9880, inMs: 30 }, // it has shown a sign of life since
      { ageMs: 5000, heartbeatMs: 9860, inMs: 10 }, // it has waited, and others were begun
      { ageMs: 5000, heartbeatMs: 1, inMs: 0 }, // at most a look is missing
      { ageMs: null, heartbeatMs: 9880, inMs: 30 }, // after an await nobody knows what it executes
    ];
    for (const { ageMs, heartbeatMs, inMs } of table) {
      const bench = new Bench();
      bench.ageMs = ageMs;
      Object.assign(bench.link, { heartbeatMs });
      bench.stalls.silent(bench.link, 100);
      if (inMs > 0) {
        mock.timers.tick(inMs - 1);
        assert.equal(bench.prepared, 0, `${ageMs}`);
      }
      mock.timers.tick(1);
      assert.equal(bench.prepared, 1, `${ageMs}`);
    }
  });

  it("is asked for its stack sooner when that is the first time", () => {
    const bench = new Bench();
    const asksWithin = (ms: number): boolean => {
      const { length } = bench.asked;
      mock.timers.tick(ms);
      return bench.asked.length > length;
    };
    bench.stalls.silent(bench.link, 130);
    assert.ok(!asksWithin(20));
    assert.ok(!asksWithin(9));
    assert.ok(asksWithin(1), "340 ms before the report is due");
    const starting = new Bench();
    Object.assign(starting.link, { isReady: false });
    starting.stalls.silent(starting.link, 130);
    mock.timers.tick(20);
    mock.timers.tick(99);
    assert.deepEqual(starting.asked, []);
    mock.timers.tick(1);
    assert.deepEqual(starting.asked, ["stack"], "250 ms before");
  });

  it("is prepared for in time, and only if it is still silent then", () => {
    const bench = new Bench();
    const { link, stalls, limits } = bench;
    stalls.silent(link, 130);
    mock.timers.tick(19);
    assert.equal(bench.prepared, 0);
    mock.timers.tick(1);
    assert.equal(bench.prepared, 1);
    stalls.moving(link);
    stalls.silent(link, 130);
    stalls.moving(link);
    mock.timers.tick(1000);
    stalls.silent(link, 130);
    Object.assign(link, { heartbeatMs: 2 }); // which the next look is going to see
    mock.timers.tick(1000);
    assert.equal(bench.prepared, 1);
    limits.stallWarnMs = 2000;
    stalls.forget(link.id);
    stalls.silent(link, 1499);
    mock.timers.tick(1000);
    assert.equal(bench.prepared, 1);
    stalls.silent(link, 1599);
    mock.timers.tick(1);
    assert.equal(bench.prepared, 2);
  });

  it("that goes on in time is not reported; one that was, is said to go on", async () => {
    const bench = new Bench();
    await bench.silent(400);
    bench.stalls.moving(bench.link);
    await bench.silent(400);
    assert.deepEqual(bench.messages(), []);
    await bench.silent(900);
    bench.stalls.moving(bench.link);
    assert.match(bench.messages().at(-1) ?? "", /^info worker 0 makes progress again after \d+ ms/);
  });

  it("is evicted past the limit, and never without one", async () => {
    const bench = new Bench();
    await bench.silent(5000);
    assert.equal(bench.evicted, 0);
    await bench.silent(5100, { from: 5100 });
    assert.equal(bench.evicted, 1);
    const endless = new Bench();
    endless.limits.stallLimitMs = 0;
    await endless.silent(20_000);
    assert.equal(endless.evicted, 0);
  });

  it("is not evicted before its stack is there", async () => {
    const bench = new Bench();
    bench.limits.stallLimitMs = 600;
    const answer = Promise.withResolvers<unknown>();
    bench.answer = () => answer.promise;
    await bench.silent(1500);
    assert.equal(bench.evicted, 0);
    answer.resolve(STACK);
    await bench.silent(1700, { from: 1600 });
    assert.equal(bench.said.length, 1);
    assert.ok(bench.evicted > 0);
  });

  it("is not reported when nobody wants it, nor when it is held", async () => {
    const bench = new Bench();
    bench.limits.stallWarnMs = 0;
    await bench.silent(2000);
    const held = new Bench();
    held.link.holds = 1;
    await held.silent(2000);
    assert.deepEqual([...bench.messages(), ...held.messages()], []);
  });
});

describe("the rescue", () => {
  beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
  afterEach(() => mock.timers.reset());

  it("that works leaves the worker alone", async () => {
    const bench = new Bench();
    bench.limits.stallRescue = true;
    const done = { done: true, how: "an exception in spin" };
    bench.answer = (request) => {
      if (request.kind !== "rescue") return STACK;
      assert.equal(request.progress, "1 2 3", "a loop that has ended meanwhile is left alone");
      return done;
    };
    await bench.silent(5500);
    bench.stalls.moving(bench.link);
    assert.deepEqual(bench.asked, ["stack", "rescue"]);
    assert.equal(bench.evicted, 0);
    assert.match(bench.messages()[1] ?? "", /has been given an exception in spin/);
  });

  it("that does not, or does not help, is followed by eviction", async () => {
    for (const isDone of [false, true]) {
      const bench = new Bench();
      bench.limits.stallRescue = true;
      const result = { done: isDone, how: "what was tried" };
      bench.answer = ({ kind }) => (kind === "rescue" ? result : STACK);
      await bench.silent(7000);
      assert.ok(bench.evicted > 0);
      assert.equal(bench.asked.filter((kind) => kind === "rescue").length, 1, "it is tried once");
    }
  });
});
