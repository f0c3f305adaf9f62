/** `npm run faults`: runs the fault table and says where Holdfast misses its bar. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CONTENDERS, CONTENDER_NAMES } from "../contenders/mod.ts";
import { NODE_VERSIONS, UsageError, choices, countFlag, nodeBinary } from "../support/mod.ts";
import { APP_NAMES, FAULT_NAMES, FULL, faultTable, misses, runScenario } from "./mod.ts";
import type { FaultResult } from "./mod.ts";

const HELP = `Usage: npm run faults -- [options]

Starts each contender with 2 workers, 200 idle connections that have served a request, 40 GET and 20 POST
in flight, 20 event streams, closed loops and a new connection each 50 ms; then one fault; then asks
on each idle connection again. Prints what clients noticed. Exits with 1 when Holdfast misses its bar.

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

interface Row {
  readonly result: FaultResult;
  readonly node: string;
  readonly misses: readonly string[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: flags });
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const contenders = choices("contender", values.contender, CONTENDER_NAMES, ["holdfast"]);
  const faults = choices("fault", values.fault, FAULT_NAMES, FAULT_NAMES);
  const apps = choices("app", values.app, APP_NAMES, ["http"]);
  const nodes = choices("node", values.node, NODE_VERSIONS, ["24"]);
  const runs = countFlag("runs", values.runs, 1);
  const patienceMs = countFlag("patience", values.patience, 10) * 1000;
  const stallLimit = values["stall-limit"];
  const holdfastFlags = stallLimit === undefined ? [] : ["--stall-limit", stallLimit];

  const rows: Row[] = [];
  let isShort = false;
  for (const name of contenders) {
    const contender = CONTENDERS[name];
    const missing = contender.missing();
    if (missing !== undefined) {
      process.stderr.write(`${name}: not here; ${missing}\n`);
      isShort ||= name.startsWith("holdfast");
      continue;
    }
    for (const node of nodes) {
      for (const app of apps) {
        for (const fault of faults.flatMap((each) => Array.from({ length: runs }, () => each))) {
          if (name === "single" && fault === "reactor") continue; // it has none
          const what = `${name}, ${app} on Node ${node}, ${fault}`;
          const options = { contender, app, node: nodeBinary(node), fault, patienceMs };
          const progress = (doing: string): void => showProgress(`${what}: ${doing}`);
          const scenario = { ...options, population: FULL, holdfastFlags, progress };
          const result = await runScenario(scenario);
          const missed = name.startsWith("holdfast") ? misses(result) : [];
          rows.push({ result, node, misses: missed });
          showProgress("");
          for (const miss of missed) process.stderr.write(`${what}: MISSED: ${miss}\n`);
          isShort ||= missed.length > 0;
        }
        process.stdout.write(`\n${app} on Node ${node}\n\n${tableOf(rows, name, app, node)}\n`);
      }
    }
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 1)}\n`);
  return isShort ? 1 : 0;
}

function tableOf(rows: readonly Row[], contender: string, app: string, node: string): string {
  const chosen = rows.filter(
    (row) => row.node === node && row.result.app === app && row.result.contender === contender,
  );
  return faultTable(chosen.map((row) => row.result));
}

/** One line that is written over, on a terminal; nothing elsewhere. */
function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UsageError) && !String(error).includes("ERR_PARSE_ARGS")) throw error;
  process.stderr.write(`${(error as Error).message}\n`); // both are errors
  process.exitCode = 64;
}
