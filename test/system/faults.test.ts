/**
 * The fault table in short form: the scenario of `npm run faults` with fewer connections, and its
 * bar. Each framework on each version of Node goes through the faults that production sees most;
 * the others, which take longer, through one framework and version each, and all through plain
 * http.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CONTENDERS } from "../../bench/contenders/mod.ts";
import { APP_NAMES, misses, runScenario } from "../../bench/faults/mod.ts";
import type { AppName, FaultName, FaultResult, Population } from "../../bench/faults/mod.ts";
import { NODE_VERSIONS, nodeBinary } from "../../bench/support/mod.ts";
import type { NodeVersion } from "../../bench/support/mod.ts";

const SMALL: Population = {
  workers: 2,
  idle: 40,
  get: 8,
  post: 6,
  streams: 4,
  fastLoops: 2,
  slowLoops: 4,
};

/** Shorter than the default of 5 s, so that a stall does not take the test's time. */
const FLAGS = ["--stall-limit", "2s"];
const PATIENCE_MS = 15_000;

const OFTEN: readonly FaultName[] = ["kill9", "throw", "reload"];
const SELDOM: readonly [FaultName, AppName, NodeVersion][] = [
  ["oom", "http", "24"],
  ["spin", "http", "24"],
  ["sigstop", "http", "24"],
  ["reload-broken", "http", "24"],
  ["reactor", "http", "24"],
  ["oom", "express", "26"],
  ["spin", "fastify", "22"],
  ["sigstop", "express", "26"],
  ["reload-broken", "fastify", "22"],
  ["reactor", "express", "26"],
  ["reactor", "fastify", "22"],
];

async function meetsTheBar(fault: FaultName, app: AppName, node: NodeVersion): Promise<void> {
  const result = await runScenario({
    contender: CONTENDERS.holdfast,
    app,
    node: nodeBinary(node),
    fault,
    population: SMALL,
    holdfastFlags: FLAGS,
    patienceMs: PATIENCE_MS,
    progress: () => {},
  });
  const missed = misses(result);
  if (missed.length > 0) assert.fail(describeMisses(missed, result));
}

function describeMisses(missed: readonly string[], { output, ...result }: FaultResult): string {
  return `${missed.join("\n")}\n${JSON.stringify(result)}\n${output}`;
}

describe("no fault loses what was accepted", { concurrency: 2 }, () => {
  for (const node of NODE_VERSIONS) {
    for (const app of APP_NAMES) {
      for (const fault of OFTEN) {
        it(`${fault}, ${app}, Node ${node}`, () => meetsTheBar(fault, app, node));
      }
    }
  }
  for (const [fault, app, node] of SELDOM) {
    it(`${fault}, ${app}, Node ${node}`, () => meetsTheBar(fault, app, node));
  }
});
