/**
 * A process with a heap of some GB: how long it stands still for its stacks and its dump, as it
 * sees that itself, and how long stacks and the census of its core take, with the memory of that.
 * `node bench/autopsy/big.ts [GB of heap, default 4]`; needs twice as much room in the temporary
 * folder as memory, and removes it.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const CLI = path.resolve(import.meta.dirname, "../../src/cli/main.ts");
const gigabytes = Number(process.argv[2] ?? 4);

/** Fills its heap, then says the largest gap of a tight loop whenever it is asked. */
const PATIENT = `
const kept = [];
class Session { constructor(id) { this.id = id; this.tags = [id, id + 1]; this.name = "s" + id; } }
while (process.memoryUsage().heapUsed < ${gigabytes} * 2 ** 30)
  for (let i = 0; i < 100_000; i += 1) kept.push(new Session(kept.length));
globalThis.kept = kept;
let largest = 0;
process.on("message", (what) => {
  if (what === "tell") process.send({ largest });
  largest = 0;
  if (what === "spin") spin();
});
function spin() {
  let last = performance.now();
  for (const end = last + 8_000; last < end;) {
    const now = performance.now();
    if (now - last > largest) largest = now - last;
    last = now;
  }
}
process.send({ objects: kept.length });
`;

interface Said {
  readonly objects?: number;
  readonly largest?: number;
}

const folder = mkdtempSync(path.join(tmpdir(), "autopsy-big-"));
const patient = spawn(
  process.execPath,
  [`--max-old-space-size=${Math.ceil(gigabytes * 1536) + 1024}`, "-e", PATIENT],
  { stdio: ["ignore", "inherit", "inherit", "ipc"] },
);

function said(): Promise<Said> {
  return new Promise((resolve) => patient.once("message", (message) => resolve(message as Said)));
}

function run(what: string, args: readonly string[]): void {
  const started = performance.now();
  const { status, stderr } = spawnSync(
    "/usr/bin/env",
    ["time", "-f", "%M", process.execPath, CLI, "autopsy", ...args],
    { encoding: "utf8", maxBuffer: 2 ** 30 },
  );
  const ms = Math.round(performance.now() - started);
  const peak = Math.round(Number(stderr.trim().split("\n").at(-1)) / 1024);
  console.log(`${what}: ${ms} ms, ${peak} MiB at most, exit code ${status}`);
}

async function gapDuring(what: string, args: readonly string[]): Promise<void> {
  patient.send("spin");
  run(what, args);
  patient.send("tell");
  const { largest = Number.NaN } = await said();
  console.log(`  the process itself saw a gap of ${largest.toFixed(1)} ms`);
}

try {
  const { objects } = await said();
  const status = readFileSync(`/proc/${patient.pid}/status`, "utf8");
  console.log(`${objects} objects; ${/VmRSS.*/.exec(status)?.[0]}`);
  const pid = String(patient.pid);
  await gapDuring("nothing (args)", ["help"]);
  for (let count = 0; count < 3; count += 1) await gapDuring("stacks, live", [pid, "stacks"]);
  const core = path.join(folder, "core");
  await gapDuring("dump", ["dump", pid, "-o", core]);
  console.log(`core: ${(statSync(core).size / 2 ** 30).toFixed(2)} GiB`);
  run("stacks of the core", [core, "stacks"]);
  run("census of the core", [core, "objects"]);
} finally {
  patient.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
