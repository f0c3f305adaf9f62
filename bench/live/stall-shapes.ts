/**
 * How soon a stall is in the log with its stack, for loops of many shapes: milliseconds beyond
 * `--stall-warn` since the loop began, and the function that the record names.
 * `node bench/live/stall-shapes.ts [22 24 26] [shape ...]`: all of both unless told; four to six
 * seconds for each.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const WARN_MS = 500;
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const APP = fileURLToPath(new URL("stall-shapes-app.cjs", import.meta.url));
/** Built: `npm run build`; or the source. */
const CLI = process.env["HOLDFAST_TEST_CLI"] ?? path.join(ROOT, "dist/cli/main.js");
const BINARIES: Readonly<Record<string, string>> = {
  22: "node_modules/node22/bin/node",
  24: "node_modules/.bin/node",
  26: "node_modules/node26/bin/node",
};
const WAIT_MS = 20_000;

interface Row {
  readonly lateMs: number;
  readonly state: string;
  readonly where: string;
}

function get(port: number, target: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const request = http.get({ host: "127.0.0.1", port, path: target, agent: false }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    response.on("close", () => resolve(text));
  });
  request.on("error", () => resolve("")); // refused, as the worker is evicted
  return promise;
}

async function until<T>(look: () => T | undefined): Promise<T | undefined> {
  const end = performance.now() + WAIT_MS;
  for (;;) {
    const found = look();
    if (found !== undefined || performance.now() > end) return found;
    await sleep(20);
  }
}

/** The names of the shapes, as soon as a worker answers. */
async function answer(port: number): Promise<string> {
  for (;;) {
    const text = await Promise.race([get(port, "/"), sleep(1000, "")]);
    if (text.startsWith("empty,")) return text;
    await sleep(100);
  }
}

function rowOf(line: string, began: number): Row {
  const record = JSON.parse(line) as Readonly<Record<string, string>>; // of our log
  return {
    lateMs: Date.parse(record["time"] ?? "") - began - WARN_MS,
    state: record["state"] ?? "none",
    where: record["stack"]?.split(" < ")[0] ?? record["message"] ?? "",
  };
}

async function measure(version: string, node: string, chosen: readonly string[]): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-shapes-"));
  const flags = ["--workers", "1", "--json", "--stall-warn", `${WARN_MS}ms`, "--stall-limit", "2s"];
  const child = spawn(path.join(ROOT, node), [CLI, "run", APP, ...flags], {
    env: { ...process.env, HOLDFAST_RUNTIME_DIR: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  }
  const port = Number(await until(() => /port (\d+)/.exec(output)?.[1]));
  const all = (await answer(port)).split(",");
  for (const shape of chosen.filter((each) => !all.includes(each))) {
    console.log(`there is no shape ${shape}; there are ${all.join(" ")}`);
  }
  for (const shape of all.filter((each) => chosen.length === 0 || chosen.includes(each))) {
    const from = output.length;
    void get(port, `/${shape}`);
    const begins = new RegExp(`begins ${shape} (\\d+)`);
    const line = await until(() => {
      const after = output.slice(from).split(begins)[2]; // what follows, behind the time
      const lines = after?.split("\n").slice(0, -1) ?? [];
      return lines.find((each) => each.includes("makes no progress"));
    });
    const began = Number(begins.exec(output)?.[1]);
    say(version, shape, line === undefined ? null : rowOf(line, began));
    // what has run after an await is tried again, and stalls again
    await answer(port);
    await sleep(3 * WARN_MS);
    await answer(port);
  }
  child.kill("SIGTERM");
  await new Promise((resolve) => child.once("close", resolve));
  rmSync(folder, { recursive: true });
}

function say(version: string, shape: string, row: Row | null): void {
  const { lateMs, state, where } = row ?? { lateMs: NaN, state: "", where: "not in the log" };
  const late = `${lateMs} ms`.padStart(8);
  const text = `Node ${version}  ${shape.padEnd(10)} ${late}  ${state.padEnd(8)} ${where}`;
  console.log(text.replaceAll(ROOT, ""));
}

const args = process.argv.slice(2);
const named = args.filter((each) => each in BINARIES);
const shapes = args.filter((each) => !(each in BINARIES));
for (const version of named.length > 0 ? named : Object.keys(BINARIES)) {
  await measure(version, BINARIES[version] ?? version, shapes);
}
