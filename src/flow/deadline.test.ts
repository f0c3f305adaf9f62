import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { clearAlarm, setAlarm } from "./alarm.ts";
import { account } from "./work.ts";
import { nowMs } from "./clock.ts";
import { deadline } from "./deadline.ts";
import { DeadlineExceeded } from "./errors.ts";
import { deadlineHeader, deadlineOfHeaders } from "../base/mod.ts";

describe("a deadline", () => {
  it("travels with what it is for, and is never later than the one around it", async () => {
    assert.equal(deadline.current(), null);
    await deadline.run(1000, async () => {
      await delay(1);
      const outer = deadline.current();
      assert.ok(outer !== null && outer.remainingMs() <= 1000 && !outer.isOver);
      deadline.run(5000, () => assert.equal(deadline.current()?.atMs, outer.atMs));
      deadline.run(10, () => assert.ok((deadline.current()?.atMs ?? 0) < outer.atMs));
      deadline.shield(() => assert.equal(deadline.current(), null));
    });
  });

  it("aborts its signal when it is over, whoever asks when", async () => {
    const soon = deadline.after(10);
    const { signal } = soon;
    assert.equal(signal.aborted, false);
    while (!signal.aborted) await delay(5);
    assert.ok(signal.reason instanceof DeadlineExceeded);
    assert.equal(soon.signal, signal);
    assert.equal(deadline.after(-5).signal.aborted, true);
    assert.equal(deadline.after(0).isOver, true);
  });

  it("is over with the one around it, and tells each listener once", () => {
    const outer = deadline.after(10_000);
    const inner = deadline.after(5000, outer);
    const heard: string[] = [];
    const off = inner.onAbort(() => heard.push("taken back"));
    inner.onAbort((reason) => heard.push(reason.message));
    off();
    outer.cancel(new Error("gone"));
    outer.cancel(new Error("again"));
    assert.deepEqual(heard, ["gone"]);
    assert.equal(inner.isOver, true);
    inner.onAbort((reason) => heard.push(`late ${reason.message}`));
    assert.deepEqual(heard, ["gone", "late gone"]);
  });

  it("leaves no alarm behind", () => {
    const before = account("timer").inFlight;
    const offs = Array.from({ length: 1000 }, () =>
      deadline.after(60_000).onAbort(() => undefined),
    );
    assert.equal(account("timer").inFlight, before + 1000);
    for (const off of offs) off();
    assert.equal(account("timer").inFlight, before);
  });

  it("is not moved by a wall clock that jumps", (t) => {
    const limit = deadline.after(60_000);
    for (const jumpMs of [86_400_000, -86_400_000]) {
      t.mock.method(Date, "now", () => 1_800_000_000_000 + jumpMs);
      assert.equal(limit.isOver, false);
      const leftMs = limit.remainingMs();
      assert.ok(leftMs > 0 && leftMs <= 60_000, String(leftMs));
    }
  });

  it("is no number of nonsense", () => {
    assert.throws(() => deadline.after(Number.NaN), /deadline is NaN/);
  });
});

describe("alarms", () => {
  it("ring in their order, also when most are taken back", async () => {
    const rung: number[] = [];
    const alarms = Array.from({ length: 500 }, (_, index) =>
      setAlarm(nowMs() + ((index * 7919) % 30), () => rung.push(index)),
    );
    alarms.forEach((alarm, index) => {
      if (index % 5 !== 0) clearAlarm(alarm);
    });
    while (rung.length < 100) await delay(10);
    assert.equal(rung.length, 100);
    assert.ok(rung.every((index) => index % 5 === 0));
  });
});

describe("deadlines in headers", () => {
  const cases: readonly [Record<string, string>, number | null][] = [
    [{ "x-request-deadline-ms": "250" }, 250],
    [{ "x-envoy-expected-rq-timeout-ms": "15" }, 15],
    [{ "grpc-timeout": "5S" }, 5000],
    [{ "grpc-timeout": "200m" }, 200],
    [{ "grpc-timeout": "99999999H" }, 86_400_000],
    [{ "x-request-deadline-ms": "-5" }, null],
    [{ "x-request-deadline-ms": "soon" }, null],
    [{ "grpc-timeout": "5" }, null],
    [{}, null],
  ];
  for (const [headers, ms] of cases) {
    it(JSON.stringify(headers), () => assert.equal(deadlineOfHeaders(headers), ms));
  }

  it("send on what is left", () => {
    assert.equal(deadlineHeader(100.7), "99");
    assert.equal(deadlineHeader(-3), "0");
  });
});
