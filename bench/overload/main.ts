/**
 * Goodput under overload: answers with 200 within 250 ms, as a part of what the application can
 * do, at multiples of its capacity. Everything is measured against the capacity of plain Node in
 * the same round, since the machine is not the same from minute to minute.
 *
 *   npm run bench -- overload [--app http,express,fastify] [--contender all] [--seconds 4]
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import {
  Started,
  choices,
  countFlag,
  delay,
  formatTable,
  freePort,
  nodeBinary,
  repositoryFolder,
  run,
  say,
} from "../support/mod.ts";
import type { LoadOrder, LoadResult } from "./load.ts";

const APPS = ["http", "express", "fastify"] as const;
/** `counter`: the least that refusing can cost, a counter in the handler of plain http. */
const CONTENDERS = ["plain", "counter", "toobusy", "under-pressure", "holdfast"] as const;
type App = (typeof APPS)[number];
type Contender = (typeof CONTENDERS)[number];

const MULTIPLES: readonly number[] = [1.2, 2, 4];
const DEADLINE_MS = 250;
/** A load balancer's pool. */
const CONNECTIONS = 800;
/** So many at a time keep the application busy, and are all answered in time. */
const CAPACITY_CONNECTIONS = 24;
/** At some hundred requests a second V8 has compiled after this what is hot, in plain Node too. */
const WARM_UP_MS = 8000;
const FOLDER = path.join(repositoryFolder, "bench/overload");
const PEERS = path.join(repositoryFolder, "bench/node_modules");

/** Which middleware a contender brings, and for which application it exists. */
const PEER_OF: Readonly<Partial<Record<Contender, { readonly app: App; readonly name: string }>>> =
  {
    toobusy: { app: "express", name: "toobusy-js" },
    "under-pressure": { app: "fastify", name: "@fastify/under-pressure" },
  };

function isThere(contender: Contender, app: App): boolean {
  if (contender === "counter") return app === "http";
  const peer = PEER_OF[contender];
  if (peer === undefined) return true;
  return peer.app === app && existsSync(path.join(PEERS, peer.name));
}

async function start(contender: Contender, app: App, port: number): Promise<Started> {
  const entry = path.join(FOLDER, "apps", `${app}.cjs`);
  const env = { PORT: String(port), PEERS, SHED: contender };
  const cli = path.join(repositoryFolder, "dist/cli/main.js");
  const flags = ["--workers", "1", "--name", `bench-${process.pid}-${port}`, "--gate", "auto"];
  const args = contender === "holdfast" ? [cli, "run", ...flags, entry] : [entry];
  const started = new Started(nodeBinary("24"), args, { env });
  for (let tries = 0; tries < 200; tries += 1) {
    if (started.isOver) throw new Error(`${contender} ${app} ended: ${started.output}`);
    try {
      await (await fetch(`http://127.0.0.1:${port}/`)).text();
      return started;
    } catch {
      await delay(50); // it does not listen yet
    }
  }
  throw new Error(`${contender} ${app} does not listen: ${started.output}`);
}

async function load(order: LoadOrder): Promise<LoadResult> {
  const args = [path.join(FOLDER, "load.ts"), JSON.stringify(order)];
  const { code, output } = await run(nodeBinary("24"), args);
  if (code !== 0) throw new Error(`the load ended with ${code}: ${output}`);
  return JSON.parse(output.slice(output.indexOf("{"))) as LoadResult; // load.ts's
}

/** Requests a second that plain Node serves when the next comes as one is answered. */
async function capacityOf(app: App, seconds: number): Promise<number> {
  const port = await freePort();
  const plain = await start("plain", app, port);
  try {
    const { good } = await load(order(port, 0, CAPACITY_CONNECTIONS, seconds));
    return good / seconds;
  } finally {
    await end(plain);
  }
}

function order(port: number, rate: number, connections: number, seconds: number): LoadOrder {
  return {
    port,
    path: "/",
    rate,
    connections,
    deadlineMs: DEADLINE_MS,
    warmUpMs: WARM_UP_MS,
    measuredMs: 1000 * seconds,
    seed: 1,
  };
}

async function end(started: Started): Promise<void> {
  started.child.kill("SIGTERM");
  const timer = setTimeout(() => started.child.kill("SIGKILL"), 5000);
  await started.finished;
  clearTimeout(timer);
}

async function measure(contender: Contender, app: App, seconds: number): Promise<string[][]> {
  const rows: string[][] = [];
  let before = await capacityOf(app, seconds);
  for (const multiple of MULTIPLES) {
    const port = await freePort();
    const started = await start(contender, app, port);
    try {
      const result = await load(order(port, multiple * before, CONNECTIONS, seconds));
      const goodput = result.good / seconds;
      await end(started);
      const after = await capacityOf(app, seconds);
      const capacity = (before + after) / 2;
      before = after;
      rows.push([
        `${app}, ${contender}`,
        `${multiple}x`,
        capacity.toFixed(0),
        goodput.toFixed(0),
        `${((100 * goodput) / capacity).toFixed(0)} %`,
        result.good > 0 ? result.p99Ms.toFixed(0) : "",
        result.refused > 0 ? result.refusedP50Ms.toFixed(0) : "",
        String(result.late + result.failed + result.skipped),
      ]);
      say(rows.at(-1)?.join("  ") ?? "");
    } finally {
      await end(started);
    }
  }
  return rows;
}

const { values } = parseArgs({
  options: {
    app: { type: "string", multiple: true },
    contender: { type: "string", multiple: true },
    seconds: { type: "string" },
  },
});
const apps = choices("app", values.app, APPS, APPS);
const contenders = choices("contender", values.contender, CONTENDERS, CONTENDERS);
const seconds = countFlag("seconds", values.seconds, 4);
const rows: string[][] = [];
for (const app of apps) {
  for (const contender of contenders) {
    if (isThere(contender, app)) rows.push(...(await measure(contender, app, seconds)));
  }
}
const columns = [
  "application",
  "load",
  "capacity /s",
  "good /s",
  "of capacity",
  "p99 ms",
  "refused after ms",
  "not in time",
];
process.stdout.write(`\n${formatTable(columns, rows)}\n`);
