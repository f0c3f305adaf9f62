import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { misses } from "./bar.ts";
import { Counts } from "./counts.ts";
import type { FaultResult } from "./scenario.ts";
import { FULL } from "./scenario.ts";

function counts(kind?: string): Counts {
  const some = new Counts();
  if (kind !== undefined) some.add(kind);
  return some;
}

/** A result without a fault to find, with these changes. */
function result(changes: Partial<FaultResult> = {}): FaultResult {
  const none = counts();
  const post = {
    asked: 20,
    failed: none,
    cleanlyRefused: 0,
    executedTwice: 0,
    executedByVictim: 1,
    wronglyAnswered: 0,
  };
  return {
    contender: "holdfast",
    app: "http",
    fault: "kill9",
    population: FULL,
    victim: { worker: "1", idle: 100 },
    idleLost: none,
    getFailed: none,
    post,
    streamsLost: none,
    streamsLostElsewhere: 0,
    fastLoops: { requests: 1, failed: none },
    slowLoops: { requests: 1, failed: none },
    probes: { asked: 1, failed: none },
    longestStallMs: 1,
    backMs: 1,
    command: null,
    output: "",
    ...changes,
  };
}

describe("the bar of the fault table", () => {
  it("is met by a result without a failure", () => {
    assert.deepEqual(misses(result()), []);
    const command = { ok: false, output: "Error: this version is broken" };
    assert.deepEqual(misses(result({ fault: "reload-broken", command })), []);
  });

  it("lets a dead worker refuse its POSTs cleanly, and nothing else", () => {
    const post = { ...result().post, failed: counts("status 503") };
    assert.deepEqual(misses(result({ post: { ...post, cleanlyRefused: 1 } })), []);
    assert.equal(misses(result({ post })).length, 1);
    const reload = result({ fault: "reload", post: { ...post, cleanlyRefused: 1 } });
    assert.equal(misses(reload).length, 1);
  });

  it("is missed by each single failure", () => {
    const { post } = result();
    const broken = "Error: this version is broken";
    const changes: Partial<FaultResult>[] = [
      { victim: { worker: "1", idle: 0 } },
      { idleLost: counts("fin") },
      { getFailed: counts("timeout") },
      { post: { ...post, executedTwice: 1 } },
      { post: { ...post, wronglyAnswered: 1 } },
      { post: { ...post, executedByVictim: 0 } },
      { fastLoops: { requests: 1, failed: counts("rst") } },
      { slowLoops: { requests: 0, failed: counts() } },
      { probes: { asked: 1, failed: counts("refused") } },
      { backMs: null },
      { streamsLostElsewhere: 1 },
      { fault: "reactor", streamsLost: counts("short") },
      { fault: "reload", command: { ok: false, output: "" } },
      { fault: "reload-broken", command: { ok: true, output: broken } },
      { fault: "reload-broken", command: { ok: false, output: "" } },
    ];
    for (const change of changes) {
      assert.equal(misses(result(change)).length, 1, JSON.stringify(change));
    }
  });
});
