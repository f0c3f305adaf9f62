/**
 * What accounts and gates cost: CPU time and memory of a pass, medians of rounds in one process.
 *
 *   npm run bench -- flow
 */
import { Permit, account, gate } from "../../src/flow/mod.ts";
import { median } from "../cost/statistics.ts";
import { formatTable } from "../support/mod.ts";

const PASSES = 1_000_000;
const ROUNDS = 11;

/** Few enough that nothing is collected meanwhile. */
const ALLOCATING_PASSES = 1000;

interface Cost {
  /** CPU nanoseconds. */
  readonly ns: number;
  /** Bytes that it allocates. */
  readonly bytes: number;
}

function measure(call: () => void): Cost {
  const ns = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage();
    for (let count = 0; count < PASSES; count += 1) call();
    const { user, system } = process.cpuUsage(before);
    return ((user + system) * 1000) / PASSES;
  });
  const bytes = Array.from({ length: ROUNDS }, () => {
    const before = process.memoryUsage().heapUsed;
    for (let count = 0; count < ALLOCATING_PASSES; count += 1) call();
    return (process.memoryUsage().heapUsed - before) / ALLOCATING_PASSES;
  });
  return { ns: median(ns), bytes: median(bytes) };
}

function pass(through: ReturnType<typeof gate>): void {
  const permit = through.enter();
  if (permit instanceof Permit) permit.release();
}

function refusal(by: ReturnType<typeof gate>): void {
  try {
    void by.enter();
  } catch {
    // what it is for: the error has been made
  }
}

const work = account("bench");
const accounted = gate({ name: "accounted", limit: { kind: "fixed", max: 10 } });
const bare = gate({ name: "bare", limit: { kind: "fixed", max: 10 }, account: null });
const full = gate({ name: "full", limit: { kind: "fixed", max: 1 }, queue: { max: 0 } });
void full.enter();
const clock = measure(() => void performance.now());
const rows = [
  ["performance.now(), for comparison", clock],
  ["account: begin and end", measure(() => void work.end(work.begin("x", 0, 0)))],
  ["gate: enter and release", measure(() => pass(accounted))],
  ["gate without its account", measure(() => pass(bare))],
  ["refusal, with its error", measure(() => refusal(full))],
] as const;
const table = formatTable(
  ["", "ns CPU", "bytes allocated"],
  rows.map(([name, { ns, bytes }]) => [name, ns.toFixed(0), bytes.toFixed(0)]),
);
process.stdout.write(`${table}\n`);
