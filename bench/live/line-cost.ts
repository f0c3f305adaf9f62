/**
 * What a watched line costs the main thread: each time it runs, and each `await` meanwhile.
 * `node bench/live/line-cost.ts`; this file is also the thread that watches.
 */
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { Lines } from "../../src/agent/lines.ts";
import type { WatchedLine } from "../../src/base/mod.ts";
import { TraceRuntime } from "../../src/trace/mod.ts";

const TIMES = 150;
const ROUNDS = 5;

function watched(a: number): number {
  const b = a * 2;
  return b + 1; // line 15
}

/** Microseconds of CPU for each of so many calls. */
async function cost(times: number, run: () => unknown): Promise<number> {
  const from = process.threadCpuUsage();
  for (let time = 0; time < times; time += 1) await run();
  const { user, system } = process.threadCpuUsage(from);
  return (user + system) / times;
}

async function measure(): Promise<void> {
  const runtime = new TraceRuntime();
  const program = "line:line-cost.ts:15 { @[local.b > 100] = count() }";
  runtime.start(1, { program, worker: 0 });
  const call = (): number => watched(3);
  const idle = async (): Promise<void> => {};
  await cost(100_000, idle);
  const awaitOff = await cost(100_000, idle);
  const callOff = await cost(100_000, call);
  const thread = new Worker(new URL(import.meta.url), { workerData: runtime.lines(1) });
  thread.on("error", console.error);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    rounds.push(await cost(TIMES, call));
    await new Promise((resolve) => setTimeout(resolve, 1100));
  }
  const awaitOn = await cost(100_000, idle);
  const [best = NaN] = rounds.toSorted((a, b) => a - b);
  console.log(
    `${process.version}: a watched line ${best.toFixed(1)} us a time (${callOff.toFixed(2)} not ` +
      `watched); await ${awaitOff.toFixed(2)} us, ${awaitOn.toFixed(2)} us while one is watched`,
  );
  thread.postMessage("end");
  console.log(`fired ${runtime.stop(1)?.probes[0]?.firings} of ${TIMES * ROUNDS}`);
  setTimeout(() => process.exit(0), 500);
}

async function watch(): Promise<void> {
  const ended = new Promise<void>((resolve) => parentPort?.once("message", () => resolve()));
  await new Lines().watch(workerData as readonly WatchedLine[], ended); // from above
}

await (isMainThread ? measure() : watch());
