/**
 * CPU time that a trace adds to a request: `node bench/trace/request-cost.ts [program]`. One worker
 * of a hello service; windows with and without the trace take turns, and the worker's own CPU time
 * (user and system, of /proc) is divided by the requests of the window.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { median } from "../cost/statistics.ts";

const CLI =
  process.env["HOLDFAST_TEST_CLI"] ??
  fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const HELLO = fileURLToPath(new URL("../apps/hello.cjs", import.meta.url));
const CONNECTIONS = 32;
const WINDOW_MS = 3000;
const PAIRS = 16;
const TICKS_PER_SECOND = 100;

const program = process.argv[2] ?? "http:done { @[route, status] = quantize(duration) }";
const runtimeDir = mkdtempSync(path.join(os.tmpdir(), "hf-bench-"));
const env = { ...process.env, HOLDFAST_RUNTIME_DIR: runtimeDir };
const port = 20_000 + (process.pid % 20_000);
const service = spawn(
  process.execPath,
  ["--", CLI, "run", HELLO, "--name", "bench", "--workers", "1"],
  {
    env: { ...env, PORT: String(port) },
    stdio: "ignore",
  },
);
const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
let answered = 0;
const load = { isOver: false };

function request(): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = http.get({ host: "127.0.0.1", port, agent }, (response) => {
      response.resume();
      response.on("end", resolve);
    });
    sent.on("error", reject);
  });
}

async function loop(): Promise<void> {
  while (!load.isOver) {
    await request();
    answered += 1;
  }
}

async function workerPid(): Promise<number> {
  const socketPath = path.join(runtimeDir, "bench.sock");
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  http
    .get({ socketPath, path: "/v1/status" }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(text));
    })
    .on("error", reject);
  const status = JSON.parse(await promise) as { workers: readonly { pid: number }[] }; // ours
  return status.workers[0]?.pid ?? 0;
}

/** Microseconds of CPU for each request of one window. */
async function window(pid: number): Promise<number> {
  await delay(300); // the trace has come, or gone
  const [before, from] = [cpuMs(pid), answered];
  await delay(WINDOW_MS);
  return ((cpuMs(pid) - before) * 1000) / (answered - from);
}

function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

async function ready(): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const isThere = await request().then(
      () => true,
      () => false, // it is starting
    );
    if (isThere) return;
    await delay(100);
  }
  throw new Error("the service did not start");
}

try {
  await ready();
  const pid = await workerPid();
  const loops = Promise.all(Array.from({ length: CONNECTIONS }, loop));
  loops.catch(() => undefined); // what ends them is told below
  await delay(3000);
  const ratios: number[] = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    const off = await window(pid);
    const trace = spawn(process.execPath, ["--", CLI, "trace", program], { env, stdio: "ignore" });
    const ended = new Promise((resolve) => trace.on("close", resolve));
    await delay(500);
    const on = await window(pid);
    if (trace.exitCode !== null) throw new Error("the trace has ended by itself: its budget?");
    trace.kill("SIGINT");
    await ended;
    ratios.push(on / off);
    console.log(`off ${off.toFixed(2)} us, on ${on.toFixed(2)} us: ${(on / off).toFixed(3)}`);
  }
  load.isOver = true;
  await loops;
  console.log(`${program}\nmedian ratio ${median(ratios).toFixed(3)} of ${PAIRS} pairs`);
} finally {
  agent.destroy();
  service.kill("SIGTERM");
  await new Promise((resolve) => service.on("close", resolve));
  rmSync(runtimeDir, { recursive: true, force: true });
}
