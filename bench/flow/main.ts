/**
 * What accounts and gates cost: CPU time for each pass, the median of rounds in one process.
 *
 *   npm run bench -- flow
 */
import { Permit, account, gate } from "../../src/flow/mod.ts";
import { formatTable } from "../support/mod.ts";

const PASSES = 1_000_000;
const ROUNDS = 11;

/** CPU nanoseconds of a call. */
function measure(call: () => void): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage();
    for (let count = 0; count < PASSES; count += 1) call();
    const { user, system } = process.cpuUsage(before);
    return ((user + system) * 1000) / PASSES;
  });
  return rounds.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0;
}

function pass(through: ReturnType<typeof gate>): void {
  const permit = through.enter();
  if (permit instanceof Permit) permit.release();
}

const work = account("bench");
const accounted = gate({ name: "accounted", limit: { kind: "fixed", max: 10 } });
const bare = gate({ name: "bare", limit: { kind: "fixed", max: 10 }, account: null });
const clock = measure(() => void performance.now());
const rows = [
  ["performance.now(), for comparison", clock],
  ["account: begin and end", measure(() => void work.end(work.begin("x", 0, 0)))],
  ["gate: enter and release", measure(() => pass(accounted))],
  ["gate without its account", measure(() => pass(bare))],
] as const;
const table = formatTable(
  ["", "ns CPU"],
  rows.map(([name, ns]) => [name, ns.toFixed(0)]),
);
process.stdout.write(`${table}\n`);
