/**
 * How long a process stands still while its stacks are read: as the tool says, and as a thread of
 * the process itself sees it in a tight loop, beside the gaps that it sees while nobody looks.
 * `node bench/autopsy/pause.ts [looks at each, default 5] [megabytes of heap, default 50]`
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "../..");
const CLI = path.join(ROOT, "src/cli/main.ts");
const LOOKS = Number(process.argv[2] ?? 5);
const MEGABYTES = Number(process.argv[3] ?? 50);
const NODES: readonly (readonly [string, string])[] = [
  ["22", "node_modules/node22/bin/node"],
  ["24", "node_modules/node/bin/node"],
  ["26", "node_modules/node26/bin/node"],
];
const SHAPES = ["idle", "spin", "async", "busy"] as const;

const WATCH = `
const { parentPort, workerData } = require("node:worker_threads");
const largest = new Float64Array(workerData);
for (let last = performance.now(); ;) {
  const now = performance.now();
  if (now - last > largest[0]) largest[0] = now - last;
  last = now;
}`;

const PATIENT = `
const { Worker } = require("node:worker_threads");
const shared = new SharedArrayBuffer(8);
const largest = new Float64Array(shared);
const kept = [];
while (process.memoryUsage().heapUsed < ${MEGABYTES} * 2 ** 20)
  for (let i = 0; i < 10_000; i += 1) kept.push({ id: kept.length, tags: [i], name: "s" + i });
globalThis.kept = kept;
new Worker(${JSON.stringify(WATCH)}, { eval: true, workerData: shared });
process.on("message", () => { process.send({ largest: largest[0] }); largest[0] = 0; });
async function wait(depth) { await (depth === 0 ? new Promise(() => {}) : wait(depth - 1)); }
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
const shape = process.argv[1];
if (shape === "async") for (let i = 0; i < 2000; i += 1) wait(20);
if (shape === "busy") setInterval(() => {
  const text = JSON.stringify(kept.slice(0, 2000));
  JSON.parse(text).sort((a, b) => fib(8) + b.id - a.id);
}, 1);
if (shape === "spin") {
  const until = (end) => { while (performance.now() < end) fib(12); };
  const round = () => { until(performance.now() + 1500); setImmediate(round); };
  round();
}
process.send({ largest: 0 });
`;

interface Said {
  readonly largest: number;
}

for (const [major, node] of NODES) {
  for (const shape of SHAPES) {
    const patient = spawn(path.join(ROOT, node), ["-e", PATIENT, shape], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const said = async (): Promise<number> => {
      const [message] = (await once(patient, "message")) as [Said]; // of the program above
      return message.largest;
    };
    const ask = async (): Promise<number> => {
      const answer = said();
      patient.send("tell");
      return answer;
    };
    await said();
    const looks: string[] = [];
    for (let look = 0; look < LOOKS; look += 1) {
      await ask();
      await new Promise((resolve) => setTimeout(resolve, 700)); // as long as a look takes
      const before = await ask();
      const told = await stacks(patient.pid ?? 0);
      const seen = await ask();
      looks.push(`${told.toFixed(1)} / ${seen.toFixed(1)} (${before.toFixed(1)})`);
    }
    console.log(
      `Node ${major} ${shape.padEnd(5)} told / seen (unlooked-at) ms: ${looks.join("  ")}`,
    );
    patient.kill("SIGKILL");
  }
}

/** The longest time that the process stood still, in ms. */
async function stacks(pid: number): Promise<number> {
  const args = [CLI, "autopsy", String(pid), "stacks", "--json"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  await once(child, "close");
  const parsed = JSON.parse(text) as { readonly stoodStillMs: number }; // our own output
  return parsed.stoodStillMs;
}
