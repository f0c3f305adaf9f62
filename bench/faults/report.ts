/** The fault table, as text. */
import { formatTable } from "../support/mod.ts";
import type { FaultResult } from "./scenario.ts";

const COLUMNS = [
  "contender, fault",
  "idle lost",
  "GET failed",
  "POST failed",
  "POST twice",
  "streams lost",
  "fast loops",
  "slow loops",
  "new connections",
  "longest stall",
  "back after",
];

/** One row a result; `nothing` in a column means that it was asked and nothing failed. */
export function faultTable(results: readonly FaultResult[]): string {
  return formatTable(COLUMNS, results.map(row));
}

function row(result: FaultResult): string[] {
  const { population, post, fastLoops, slowLoops, probes } = result;
  return [
    `${result.contender}, ${result.fault}`,
    `${result.idleLost.text} of ${population.idle}`,
    `${result.getFailed.text} of ${population.get}`,
    `${post.failed.text} of ${population.post}`,
    String(post.executedTwice),
    `${result.streamsLost.text} of ${population.streams}`,
    fastLoops.failed.text,
    slowLoops.failed.text,
    `${probes.failed.text} of ${probes.asked}`,
    `${Math.round(result.longestStallMs)} ms`,
    result.backMs === null ? "never" : `${Math.round(result.backMs)} ms`,
  ];
}
