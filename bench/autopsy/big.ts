/**
 * A process with a heap of some GB: how long it stands still for its stacks, census and dump, as it
 * sees that itself, and how long stacks and the census of its core take, with the memory of that.
 * Then one that dies of a heap of that size, where the kernel writes cores to files.
 * `node bench/autopsy/big.ts [GB of heap, default 4] [part: live, core, death; default all]
 * [folder]`; needs twice as much room in the temporary folder as memory, and removes it. With a
 * folder, cores are kept in it, and those that are there already are looked at and not made again.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const CLI = path.resolve(import.meta.dirname, "../../src/cli/main.ts");
const gigabytes = Number(process.argv[2] ?? 4);
const only = process.argv[3] ?? "";
const isAsked = (part: string): boolean => only === "" || only === part;

/** Fills its heap, then says the largest gap between two ticks of 1 ms since it was asked. */
const PATIENT = `
const kept = [];
class Session { constructor(id) { this.id = id; this.tags = [id, id + 1]; this.name = "s" + id; } }
while (process.memoryUsage().heapUsed < ${gigabytes} * 2 ** 30)
  for (let i = 0; i < 100_000; i += 1) kept.push(new Session(kept.length));
globalThis.kept = kept;
let [largest, last] = [0, performance.now()];
setInterval(() => {
  const now = performance.now();
  if (now - last > largest) largest = now - last;
  last = now;
}, 1);
process.on("message", (what) => {
  if (what === "tell") process.send({ largest });
  [largest, last] = [0, performance.now()];
});
process.send({ objects: kept.length });
`;

interface Said {
  readonly objects?: number;
  readonly largest?: number;
}

/** What keeps everything, as a leak does. */
const DYING = `
class Session { constructor(id) { this.id = id; this.tags = [id, id + 1]; this.name = "s" + id; } }
function leak(kept) { for (;;) kept.push(new Session(kept.length)); }
leak([]);
`;

const kept = process.argv[4];
const folder = kept ?? mkdtempSync(path.join(tmpdir(), "autopsy-big-"));
const DUMP = path.join(folder, "dump");
mkdirSync(folder, { recursive: true });

function run(what: string, args: readonly string[]): void {
  const started = performance.now();
  const { status, stderr, stdout } = spawnSync(
    "/usr/bin/env",
    ["time", "-f", "%M %U %S", process.execPath, CLI, "autopsy", ...args],
    { encoding: "utf8", maxBuffer: 2 ** 30 },
  );
  const ms = Math.round(performance.now() - started);
  const [peak, user, system] = (stderr.trim().split("\n").at(-1) ?? "").split(" ").map(Number);
  const cpu = `CPU ${user} + ${system} s`;
  const memory = `${Math.round((peak ?? 0) / 1024)} MiB at most`;
  console.log(`${what}: ${ms} ms, ${cpu}, ${memory}, exit code ${status}`);
  console.log(`  ${stdout.split("\n")[0]}`);
}

function lookAtCore(core: string): void {
  console.log(`core: ${(statSync(core).size / 2 ** 30).toFixed(2)} GiB`);
  for (let count = 0; count < 3; count += 1) run("stacks of the core", [core, "stacks"]);
  run("census of the core", [core, "objects"]);
}

async function livePatient(): Promise<void> {
  const patient = spawn(
    process.execPath,
    [`--max-old-space-size=${Math.ceil(gigabytes * 1536) + 1024}`, "-e", PATIENT],
    { stdio: ["ignore", "inherit", "inherit", "ipc"] },
  );
  const said = (): Promise<Said> =>
    new Promise((resolve) => patient.once("message", (message) => resolve(message as Said)));
  const gapDuring = async (what: string, args: readonly string[]): Promise<void> => {
    patient.send("begin");
    run(what, args);
    patient.send("tell");
    const { largest = Number.NaN } = await said();
    console.log(`  the process itself saw a gap of ${largest.toFixed(1)} ms`);
  };
  try {
    const { objects } = await said();
    const status = readFileSync(`/proc/${patient.pid}/status`, "utf8");
    console.log(`${objects} objects; ${/VmRSS.*/.exec(status)?.[0]}`);
    const pid = String(patient.pid);
    if (isAsked("live")) {
      await gapDuring("nothing (args)", ["help"]);
      for (let count = 0; count < 3; count += 1) await gapDuring("stacks, live", [pid, "stacks"]);
      await gapDuring("census, live", [pid, "objects", "--force"]);
    }
    if (!isAsked("core")) return;
    await gapDuring("dump", ["dump", pid, "-o", DUMP, "--force"]);
    lookAtCore(DUMP);
  } finally {
    patient.kill("SIGKILL");
  }
}

function coreOfDeath(): string | undefined {
  return readdirSync(folder).find((each) => each.startsWith("core"));
}

function death(): void {
  const limit = `--max-old-space-size=${gigabytes * 1024}`;
  const shell = 'ulimit -c unlimited && exec "$@"';
  if (coreOfDeath() === undefined) {
    spawnSync("sh", ["-c", shell, "sh", process.execPath, limit, "-e", DYING], { cwd: folder });
  }
  const name = coreOfDeath();
  if (name === undefined) {
    console.log("no core of a death: core_pattern gives it to a program");
    return;
  }
  const core = path.join(folder, name);
  const { size, blocks } = statSync(core);
  const onDisk = ((blocks * 512) / 2 ** 30).toFixed(2);
  console.log(`core of a death: ${(size / 2 ** 30).toFixed(2)} GiB, ${onDisk} GiB on the disk`);
  for (let count = 0; count < 3; count += 1) run("stacks of it", [core, "stacks"]);
  run("census of it", [core, "objects"]);
}

try {
  if (isAsked("core") && existsSync(DUMP)) lookAtCore(DUMP);
  else if (isAsked("live") || isAsked("core")) await livePatient();
  if (isAsked("death")) death();
} finally {
  if (kept === undefined) rmSync(folder, { recursive: true, force: true });
}
