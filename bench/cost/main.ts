/** `npm run bench`: what a request, an idle connection, a recovery and a small service cost. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CONTENDER_NAMES, holdfast } from "../contenders/mod.ts";
import { UsageError, choices, countFlag, formatTable, showProgress } from "../support/mod.ts";
import { measureIdleMemory } from "./idle-memory.ts";
import { GENERATORS } from "./load.ts";
import { measureRecoveryTime } from "./recovery-time.ts";
import { measureRequestCost, requestCostTable } from "./request-cost.ts";
import { measureServiceMemory } from "./service-memory.ts";
import { CONNECTIONS, SHAPES } from "./shape.ts";

const PARTS = ["cost", "idle", "recovery", "memory"] as const;
type Part = (typeof PARTS)[number];

const HELP = `Usage: npm run bench -- [${PARTS.join("|")}|all] [options]

  cost      CPU time of a request, with ${CONNECTIONS} kept connections and one for each (default)
  idle      memory of an idle connection in reactor and ledger
  recovery  time until all idle connections of a dead worker are with another
  memory    memory of keeper, reactor and one worker

  --contender <names>    cost: ${CONTENDER_NAMES.join(", ")}, all (default: all)
  --starts <n>           cost: how often all contenders are started (default: 4)
  --rounds <n>           cost: rounds of all starts together (default: 40, some 9 minutes)
  --turn <ms>            cost: how long a contender is loaded in a round (default: 250; wrk: 1000)
  --load <generator>     cost: ${GENERATORS.join(", ")} (default: driver, our own)
  --seed <n>             cost: of the order of the rounds (default: by chance; printed)
  --connections <n>      idle: 50000, recovery: 10000
  --no-stalls            idle, recovery: blocked workers are left alone (an emulated machine)
  --json <file>          writes the results there too

Exits with 1 when a bar is missed.
Example: npm run bench -- cost --contender holdfast --rounds 100
`;

const MEGABYTE = 1024 * 1024;
const NO_STALLS = ["--stall-limit", "0", "--stall-warn", "0"];

const flags = {
  contender: { type: "string", multiple: true },
  starts: { type: "string" },
  rounds: { type: "string" },
  turn: { type: "string" },
  load: { type: "string" },
  seed: { type: "string" },
  connections: { type: "string" },
  "no-stalls": { type: "boolean" },
  json: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof flags }>>["values"];

/** What one part has found: for people, for programs, and whether every bar is met. */
interface Finding {
  readonly text: string;
  readonly data: unknown;
  readonly isMet: boolean;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options: flags, allowPositionals: true });
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const parts = choices("part", positionals, PARTS, ["cost"]);
  const missing = holdfast.missing();
  if (missing !== undefined) process.stderr.write(`holdfast: not here; ${missing}\n`);
  const findings: Partial<Record<Part, Finding>> = {};
  for (const part of parts) {
    const finding = await runPart(part, values);
    showProgress("");
    process.stdout.write(`${finding.text}\n\n`);
    findings[part] = finding;
  }
  const all = Object.values(findings);
  if (values.json !== undefined) {
    const data = Object.fromEntries(
      Object.entries(findings).map(([part, { data }]) => [part, data]),
    );
    writeFileSync(values.json, `${JSON.stringify(data, null, 1)}\n`);
  }
  return all.every((finding) => finding.isMet) ? 0 : 1;
}

function runPart(part: Part, values: Values): Promise<Finding> {
  const holdfastFlags = values["no-stalls"] === true ? NO_STALLS : [];
  switch (part) {
    case "cost":
      return runCost(values);
    case "idle":
      return runIdle(countFlag("connections", values.connections, 50_000), holdfastFlags);
    case "recovery":
      return runRecovery(countFlag("connections", values.connections, 10_000), holdfastFlags);
    case "memory":
      return runMemory();
  }
}

async function runCost(values: Values): Promise<Finding> {
  const load = values.load === undefined ? [] : [values.load];
  const generator = choices("load", load, GENERATORS, ["driver"])[0] ?? "driver";
  const result = await measureRequestCost({
    contenders: choices("contender", values.contender, CONTENDER_NAMES, CONTENDER_NAMES),
    generator,
    starts: countFlag("starts", values.starts, 4),
    rounds: countFlag("rounds", values.rounds, 40),
    turnMs: countFlag("turn", values.turn, generator === "wrk" ? 1000 : 250),
    seed: countFlag("seed", values.seed, Math.floor(Math.random() * 2 ** 31), 0),
    progress: showProgress,
  });
  const { starts, roundsEach, seed, workers } = result;
  const how =
    `${starts} starts, ${roundsEach} rounds each, ${workers} workers each, ` +
    `load by ${generator}, seed ${seed}`;
  const tables = SHAPES.map((shape) => requestCostTable(result, shape));
  const notHere = result.missing.map((line) => `not here: ${line}`);
  const isMet = result.rows.every(({ bar, ratio }) => bar === undefined || ratio.middle <= bar);
  return { text: [...notHere, how, ...tables].join("\n\n"), data: result, isMet };
}

async function runIdle(connections: number, holdfastFlags: readonly string[]): Promise<Finding> {
  const result = await measureIdleMemory(connections, holdfastFlags, showProgress);
  const isMet = result.bytesEach <= result.bar && result.answered === result.held;
  const columns = ["idle connections held", "reactor", "ledger", "together", "bar", "(workers)"];
  const row = [
    String(result.held),
    `${result.reactorBytesEach.toFixed(0)} B each`,
    `${result.ledgerBytesEach.toFixed(0)} B each`,
    `${result.bytesEach.toFixed(0)} B each`,
    `${result.bar} B: ${isMet ? "met" : "MISSED"}`,
    `${result.workerBytesEach.toFixed(0)} B each`,
  ];
  const notes = [`${result.answered} of ${result.held} answered a request at the end.`];
  if (result.held < result.asked) {
    notes.push(
      `${result.asked} were asked for; the limit of descriptors of a process is ` +
        `${result.descriptorLimit} here and may not be raised.`,
    );
  }
  return { text: [formatTable(columns, [row]), ...notes].join("\n\n"), data: result, isMet };
}

async function runRecovery(
  connections: number,
  holdfastFlags: readonly string[],
): Promise<Finding> {
  const result = await measureRecoveryTime(connections, holdfastFlags, showProgress);
  const isMet = result.scaledMs <= result.barMs && result.failed === 0;
  const columns = ["idle connections of the dead worker", "moved after", "bar", "failed"];
  const row = [
    String(result.connections),
    `${result.movedMs.toFixed(0)} ms`,
    `${result.barMs} ms for ${connections}: ${isMet ? "met" : "MISSED"}`,
    String(result.failed),
  ];
  const note =
    `Of another death, with a request on each of all ${result.requests} connections then: ` +
    `the last answer after ${result.answeredMs.toFixed(0)} ms.`;
  return { text: `${formatTable(columns, [row])}\n\n${note}`, data: result, isMet };
}

async function runMemory(): Promise<Finding> {
  const result = await measureServiceMemory(showProgress);
  const isMet = result.totalBytes <= result.barBytes;
  const megabytes = (bytes: number): string => `${(bytes / MEGABYTE).toFixed(1)} MB`;
  const columns = [
    "PSS of a hello service",
    "keeper",
    "reactor",
    "worker",
    "together",
    "bar",
    "after load",
  ];
  const { keeper, reactor, worker } = result.pss;
  const row = [
    "at rest",
    ...[keeper, reactor, worker, result.totalBytes].map(megabytes),
    `${megabytes(result.barBytes)}: ${isMet ? "met" : "MISSED"}`,
    megabytes(result.totalAfterLoadBytes),
  ];
  return { text: formatTable(columns, [row]), data: result, isMet };
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UsageError) && !String(error).includes("ERR_PARSE_ARGS")) throw error;
  process.stderr.write(`${(error as Error).message}\n`); // both are errors
  process.exitCode = 64;
}
