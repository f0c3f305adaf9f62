/**
 * For how long `holdfast attach` has the inspector's port of a process open, seen from outside: the
 * kernel is asked for its listening sockets every 0.2 ms. Processes that wait, and processes that
 * spin and go on once they are attached to (Node opens the port again then), by version of Node, a
 * new process for each run; beside it what the command says.
 * `node bench/live/attach-exposure.ts [22 24 26] [--runs 20]`
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { listeningSockets } from "../../src/os/mod.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CLI = process.env["HOLDFAST_TEST_CLI"] ?? path.join(ROOT, "dist/cli/main.js");
const BINARIES: Readonly<Record<string, string>> = {
  22: "node_modules/node22/bin/node",
  24: "node_modules/.bin/node",
  26: "node_modules/node26/bin/node",
};
const APPS: Readonly<Record<string, string>> = {
  waits: "require('node:http').createServer().listen(0); console.log('up')",
  spins:
    "const { existsSync } = require('node:fs'); console.log('up'); setInterval(() => 0, 1e6);" +
    "setTimeout(() => { while (!existsSync(process.argv[1])) Math.sqrt(2); }, 50)",
};
const LOOK_MS = 0.2;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo; // it listens on a port
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function isOpen(port: number): boolean {
  const sockets = listeningSockets();
  if (sockets === null) throw new Error("the kernel does not tell its listening sockets");
  return sockets.some((socket) => socket.port === port);
}

/** Lines of a process's standard output, one by one. */
function linesOf(child: ChildProcess): () => Promise<string> {
  const { stdout } = child;
  if (stdout === null) throw new Error("its output is not ours");
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  return async () => {
    const { value = "", done = false } = await lines.next();
    if (done) throw new Error("it has ended");
    return value;
  };
}

/** Times in milliseconds at which the port is open, from the look before to the look after. */
async function watch(port: number, signal: AbortSignal): Promise<number[]> {
  const open: number[] = [];
  const gap = new Int32Array(new SharedArrayBuffer(4));
  let before = performance.now();
  let since: number | null = null;
  while (!signal.aborted) {
    const now = performance.now();
    const isNow = isOpen(port);
    if (isNow && since === null) since = before;
    if (!isNow && since !== null) {
      open.push(now - since);
      since = null;
    }
    before = now;
    Atomics.wait(gap, 0, 0, LOOK_MS);
    await new Promise((resolve) => void setImmediate(resolve));
  }
  return open;
}

interface Seen {
  readonly openMs: number;
  readonly times: number;
  readonly saidMs: number;
}

async function run(node: string, app: string, folder: string): Promise<Seen> {
  const port = await freePort();
  const stdio: ["ignore", "pipe", "ignore"] = ["ignore", "pipe", "ignore"];
  const enough = path.join(folder, String(port));
  const target = spawn(node, [`--inspect-port=${port}`, "-e", app, enough], { stdio });
  await linesOf(target)();
  await sleep(300);
  const ended = new AbortController();
  const watching = watch(port, ended.signal);
  const env = { ...process.env, HOLDFAST_RUNTIME_DIR: folder };
  const words = [CLI, "attach", String(target.pid), "--json"];
  const attach = spawn(process.execPath, words, { env, stdio: ["ignore", "pipe", "inherit"] });
  const { exposedMs } = JSON.parse(await linesOf(attach)()) as { exposedMs: number }; // ours
  writeFileSync(enough, "");
  await sleep(500);
  ended.abort();
  const open = await watching;
  const gone = new Promise((resolve) => void attach.once("close", resolve));
  attach.kill("SIGTERM");
  await gone;
  target.kill("SIGKILL");
  const openMs = open.reduce((sum, each) => sum + each, 0);
  return { openMs, times: open.length, saidMs: exposedMs };
}

function summary(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const [median = 0, worst = 0] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return `median ${median.toFixed(1)} ms, most ${worst.toFixed(1)} ms`;
}

const { values, positionals } = parseArgs({
  options: { runs: { type: "string", default: "20" } },
  allowPositionals: true,
});
const folder = mkdtempSync(path.join(os.tmpdir(), "holdfast-attach-"));
for (const version of positionals.length === 0 ? Object.keys(BINARIES) : positionals) {
  const node = path.join(ROOT, BINARIES[version] ?? "");
  for (const [name, app] of Object.entries(APPS)) {
    const seen: Seen[] = [];
    for (let at = 0; at < Number(values.runs); at += 1) seen.push(await run(node, app, folder));
    const times = Math.max(...seen.map((each) => each.times));
    const more = times > 1 ? `, up to ${times} times` : "";
    console.log(
      `Node ${version} ${name}: open ${summary(seen.map(({ openMs }) => openMs))}${more}; ` +
        `says ${summary(seen.map(({ saidMs }) => saidMs))}`,
    );
  }
}
rmSync(folder, { recursive: true });
