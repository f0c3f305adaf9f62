/** `npm run faults`: runs the fault table and says where Holdfast misses its bar. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CONTENDERS, CONTENDER_NAMES } from "../contenders/mod.ts";
import type { ContenderName } from "../contenders/mod.ts";
import {
  NODE_VERSIONS,
  UsageError,
  choices,
  countFlag,
  nodeBinary,
  say,
  showProgress,
} from "../support/mod.ts";
import type { NodeVersion } from "../support/mod.ts";
import { APP_NAMES, FAULT_NAMES, FULL, faultTable, misses, runScenario } from "./mod.ts";
import type { AppName, FaultName, FaultResult } from "./mod.ts";

const HELP = `Usage: npm run faults -- [options]

Starts each contender with 2 workers, 200 idle connections that have served one, 40 GET and 20 POST
in flight, 20 event streams, closed loops and a new connection each 50 ms; then one fault; then asks
on each idle connection again. Prints what clients noticed. Exits with 1 if Holdfast misses its bar.

  --contender <names>   ${CONTENDER_NAMES.join(", ")}, all (default: holdfast)
  --fault <names>       ${FAULT_NAMES.join(", ")}, all (default: all)
  --app <names>         ${APP_NAMES.join(", ")}, all (default: http)
  --node <versions>     ${NODE_VERSIONS.join(", ")}, all (default: 24)
  --runs <n>            times that each is run (default: 1)
  --stall-limit <time>  for holdfast run (default: its own, 5s)
  --patience <seconds>  how long a client waits for a response (default: 10)
  --json <file>         writes the results there too

Example: npm run faults -- --contender holdfast,cluster --fault kill9,spin
`;

const flags = {
  contender: { type: "string", multiple: true },
  fault: { type: "string", multiple: true },
  app: { type: "string", multiple: true },
  node: { type: "string", multiple: true },
  runs: { type: "string" },
  "stall-limit": { type: "string" },
  patience: { type: "string" },
  json: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

/** One cell of the plan. */
interface Job {
  readonly name: ContenderName;
  readonly app: AppName;
  readonly node: NodeVersion;
  readonly fault: FaultName;
}

interface Row extends Job {
  readonly result: FaultResult;
  readonly misses: readonly string[];
}

interface Settings {
  readonly patienceMs: number;
  readonly holdfastFlags: readonly string[];
}

type Values = ReturnType<typeof parseArgs<{ options: typeof flags }>>["values"];

async function main(): Promise<number> {
  const { values } = parseArgs({ options: flags });
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const stallLimit = values["stall-limit"];
  const settings = {
    patienceMs: countFlag("patience", values.patience, 10) * 1000,
    holdfastFlags: stallLimit === undefined ? [] : ["--stall-limit", stallLimit],
  };
  const rows: Row[] = [];
  let failures = 0;
  for (const job of plan(values)) {
    const row = await runJob(job, settings);
    if (row !== undefined) rows.push(row);
    if (isOurs(job) && (row === undefined || row.misses.length > 0)) failures += 1;
  }
  for (const [title, group] of Map.groupBy(rows, (row) => `${row.app} on Node ${row.node}`)) {
    process.stdout.write(`${title}\n\n${faultTable(group.map((row) => row.result))}\n\n`);
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 1)}\n`);
  if (failures > 0) say(`Holdfast misses its bar in ${failures} of its runs.`);
  return failures > 0 ? 1 : 0;
}

/** Everything that is to be run, in order. Contenders that are not here are named. */
function plan(values: Values): Job[] {
  const contenders = choices("contender", values.contender, CONTENDER_NAMES, ["holdfast"]);
  const faults = choices("fault", values.fault, FAULT_NAMES, FAULT_NAMES);
  const apps = choices("app", values.app, APP_NAMES, ["http"]);
  const nodes = choices("node", values.node, NODE_VERSIONS, ["24"]);
  const runs = countFlag("runs", values.runs, 1);
  const here = contenders.filter((name) => {
    const missing = CONTENDERS[name].missing();
    if (missing !== undefined) say(`${name}: not here; ${missing}`);
    return missing === undefined || name === "holdfast"; // without it the run has failed
  });
  const jobs = nodes.flatMap((node) =>
    apps.flatMap((app) =>
      here.flatMap((name) => faults.map((fault): Job => ({ name, app, node, fault }))),
    ),
  );
  return jobs
    .filter(({ name, fault }) => name !== "single" || fault !== "reactor") // it has none
    .flatMap((job) => Array.from({ length: runs }, () => job));
}

/** `undefined` when it could not be run; why is said. */
async function runJob(job: Job, settings: Settings): Promise<Row | undefined> {
  const { name, app, node, fault } = job;
  const what = `${name}, ${app} on Node ${node}, ${fault}`;
  try {
    const result = await runScenario({
      contender: CONTENDERS[name],
      app,
      node: nodeBinary(node),
      fault,
      population: FULL,
      ...settings,
      progress: (doing) => showProgress(`${what}: ${doing}`),
    });
    const missed = isOurs(job) ? misses(result) : [];
    for (const miss of missed) say(`${what}: MISSED: ${miss}`);
    if (missed.length === 0) say(`${what}: ${isOurs(job) ? "meets the bar" : "done"}`);
    return { ...job, result, misses: missed };
  } catch (error) {
    say(`${what}: could not be run: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

function isOurs({ name }: Job): boolean {
  return name === "holdfast" || name === "holdfast-kernel";
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UsageError) && !String(error).includes("ERR_PARSE_ARGS")) throw error;
  process.stderr.write(`${(error as Error).message}\n`); // both are errors
  process.exitCode = 64;
}
