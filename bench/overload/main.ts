/**
 * Goodput under overload: answers with 200 within 250 ms, as a part of what the application can
 * do, at multiples of its capacity. Both are running, and are measured in turns (see load.ts).
 * The middle of the turns is told, and the range of its middle half.
 *
 *   npm run bench -- overload [--app http,express,fastify] [--contender all] [--seconds 16]
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
const CAPACITY_CONNECTIONS = 24;
const TURN_MS = 2000;
/** Until the queue is what it is under this load. */
const SETTLE_MS = 1000;
/** At some hundred requests a second V8 has compiled after this what is hot, in plain Node too. */
const WARM_UP_MS = 30_000;
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
  const perTurnMs = 2 * (order.settleMs + order.turnMs + order.deadlineMs);
  const deadlineMs = 60_000 + 3 * order.warmUpMs + 2 * order.turns * perTurnMs;
  const { code, output } = await run(nodeBinary("24"), args, { deadlineMs });
  if (code !== 0) throw new Error(`the load ended with ${code}: ${output}`);
  return JSON.parse(output.slice(output.indexOf("{"))) as LoadResult; // load.ts's
}

async function end(started: Started): Promise<void> {
  started.child.kill("SIGTERM");
  const timer = setTimeout(() => started.child.kill("SIGKILL"), 5000);
  await started.finished;
  clearTimeout(timer);
}

/** Low end, middle and high end of the middle half. */
function middleOf(values: readonly number[]): readonly [number, number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? 0;
  const upper = sorted[Math.ceil(0.5 * (sorted.length - 1))] ?? 0;
  return [at(0.25), (at(0.5) + upper) / 2, sorted[Math.ceil(0.75 * (sorted.length - 1))] ?? 0];
}

function percent(part: number): string {
  return (100 * part).toFixed(0);
}

async function measure(contender: Contender, app: App, seconds: number): Promise<string[][]> {
  const rows: string[][] = [];
  for (const multiple of MULTIPLES) {
    const [capacityPort, port] = [await freePort(), await freePort()];
    const plain = await start("plain", app, capacityPort);
    const started = await start(contender, app, port);
    try {
      const result = await load({
        capacityPort,
        capacityConnections: CAPACITY_CONNECTIONS,
        port,
        connections: CONNECTIONS,
        multiple,
        deadlineMs: DEADLINE_MS,
        warmUpMs: WARM_UP_MS,
        settleMs: SETTLE_MS,
        turnMs: TURN_MS,
        turns: Math.max(1, Math.round((1000 * seconds) / TURN_MS)),
        seed: 1,
      });
      const [, capacity] = middleOf(result.turns.map((each) => each.capacity));
      const [, goodput] = middleOf(result.turns.map((each) => each.good));
      const parts = middleOf(result.turns.map((each) => each.good / each.capacity));
      const [low, middle, high] = parts.map(percent);
      rows.push([
        `${app}, ${contender}`,
        `${multiple}x`,
        capacity.toFixed(0),
        goodput.toFixed(0),
        `${middle} % (${low} to ${high})`,
        result.good > 0 ? result.p99Ms.toFixed(0) : "",
        result.refused > 0 ? result.refusedP50Ms.toFixed(0) : "",
        String(result.late + result.failed + result.skipped),
      ]);
      say(rows.at(-1)?.join("  ") ?? "");
    } finally {
      await Promise.all([end(started), end(plain)]);
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
const seconds = countFlag("seconds", values.seconds, 16);
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
