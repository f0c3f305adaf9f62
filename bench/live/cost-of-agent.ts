/**
 * What the agent and the recording of latencies cost a worker, against neither: CPU time (user and
 * system, all processes of the service) a request of a hello server, and the worker's memory (PSS).
 *
 * There is no switch for "neither": a copy of the build is made in which the two modules that start
 * the agent and record requests are replaced by empty ones. Both services run side by side, one
 * worker each; short turns, in random order, and the whole build a second time to show the noise.
 * `node bench/live/cost-of-agent.ts [rounds]`, after `npm run build`; 40 rounds take some 50 s.
 */
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { HoldfastService } from "../contenders/mod.ts";
import type { Contender } from "../contenders/mod.ts";
import { startHello } from "../cost/hello.ts";
import { startGenerator } from "../cost/load.ts";
import type { Generator } from "../cost/load.ts";
import { estimate, median, seededRandom, shuffled } from "../cost/statistics.ts";
import { cpuNanoseconds, delay, processMemory, repositoryFolder } from "../support/mod.ts";

const TURN_MS = 300;
const SETTLE_MS = 30;
/** Until the last of V8's compilers has seen the functions on the way of a request. */
const WARM_UP_ROUNDS = 8;
const MEGABYTE = 1e6;
const MEMORY_SETTLE_MS = 2000;

/** What they are in the build without them; with the exports of the originals. */
const EMPTY: Readonly<Record<string, string>> = {
  "worker/agent-thread.js": `
    import { closeDescriptor } from "../os/mod.js";
    export function startAgent() { closeDescriptor(6); }`,
  "worker/request-clock.js": `
    export class RequestClock {
      get hasRead() { return true; }
      arrived() {} read() {} began() {} flushed() {} ended() {} left() {}
    }`,
};

interface Entrant {
  readonly label: string;
  readonly service: HoldfastService;
  readonly pids: readonly number[];
  readonly workerPid: number;
  readonly stop: () => Promise<void>;
}

/** A copy of the build; both are copies, so that they differ in nothing else. */
function copyOf(folder: string, label: string, modules: Readonly<Record<string, string>>): string {
  const copy = path.join(folder, label);
  cpSync(path.join(repositoryFolder, "dist"), path.join(copy, "dist"), { recursive: true });
  cpSync(path.join(repositoryFolder, "package.json"), path.join(copy, "package.json"));
  symlinkSync(path.join(repositoryFolder, "node_modules"), path.join(copy, "node_modules"));
  for (const [file, text] of Object.entries(modules)) {
    writeFileSync(path.join(copy, "dist", file), text, { flag: "r+" }); // it must be there
    writeFileSync(path.join(copy, "dist", file), text);
  }
  return path.join(copy, "dist/cli/main.js");
}

async function enter(label: string, program: string): Promise<Entrant> {
  const contender: Contender = {
    name: label,
    missing: () => undefined,
    launch: (options) => Promise.resolve(new HoldfastService(options, program)),
  };
  const { service, stop } = await startHello(contender, { workers: 1 });
  if (!(service instanceof HoldfastService)) throw new Error("not holdfast");
  const workerPid = (await service.status()).workers[0]?.pid ?? 0;
  return { label, service, stop, workerPid, pids: service.processes() };
}

/** Microseconds of CPU for each request of one turn. */
async function turn({ service, pids }: Entrant, generator: Generator): Promise<number> {
  const before = cpuNanoseconds(pids);
  const { requests, failed } = await generator.run("keep-alive", service.options.port, TURN_MS);
  await delay(SETTLE_MS);
  if (failed > 0) throw new Error(`${failed} requests have failed`);
  return (cpuNanoseconds(pids) - before) / 1000 / requests;
}

function say(label: string, values: readonly number[], base: readonly number[]): void {
  const ratios = values.map((value, round) => value / (base[round] ?? Number.NaN));
  const ratio = estimate(ratios, seededRandom(1));
  const [middle, low, high] = [ratio.middle, ratio.low, ratio.high].map((each) => each.toFixed(3));
  const cost = `${median(values).toFixed(2)} us a request`;
  console.log(`${label.padEnd(12)} ${cost}, ratio ${middle} (${low} to ${high})`);
}

async function main(rounds: number): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-agent-cost-"));
  const random = seededRandom(Date.now());
  const generator = startGenerator("driver");
  const entrants: Entrant[] = [];
  try {
    entrants.push(await enter("neither", copyOf(folder, "neither", EMPTY)));
    entrants.push(await enter("both", copyOf(folder, "both", {})));
    entrants.push(await enter("both, again", copyOf(folder, "again", {})));
    await delay(MEMORY_SETTLE_MS);
    const idle = new Map(entrants.map((each) => [each.label, processMemory(each.workerPid).pss]));
    const costs = new Map(entrants.map((entrant) => [entrant, [] as number[]]));
    for (let round = -WARM_UP_ROUNDS; round < rounds; round += 1) {
      for (const entrant of shuffled(entrants, random)) {
        const cost = await turn(entrant, generator);
        if (round >= 0) costs.get(entrant)?.push(cost);
      }
    }
    const [base = []] = costs.values();
    for (const [{ label }, values] of costs) say(label, values, base);
    for (const { label, workerPid } of entrants) {
      const megabytes = (processMemory(workerPid).pss / MEGABYTE).toFixed(1);
      const before = ((idle.get(label) ?? Number.NaN) / MEGABYTE).toFixed(1);
      console.log(`${label.padEnd(12)} worker ${before} MB PSS, ${megabytes} MB after the load`);
    }
  } finally {
    generator.destroy();
    for (const { stop } of entrants) await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main(Number(process.argv[2] ?? 40));
