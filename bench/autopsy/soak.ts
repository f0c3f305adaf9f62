/**
 * Reads the stack of a busy process again and again, at moments that nobody chose:
 *
 * - an HTTP server under load: each stack must be whole down to the bottom of the thread;
 * - a program that runs in a circle below frames that it has written down: those must be the same
 * in
 *   every sample, function, line and column.
 *
 *   node bench/autopsy/soak.ts [--samples 300] [--major 24] [--untraced]
 *
 * Prints one line for each: samples, incomplete (said to be so), wrong (not said), and the median
 * time
 * for which the process was held.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readStacks } from "../../src/autopsy/stack/mod.ts";
import type { StackFrame } from "../../src/autopsy/stack/mod.ts";
import { openTarget } from "../../src/autopsy/target/open.ts";
import { openV8, prepareV8 } from "../../src/autopsy/v8/process.ts";
import type { PreparedV8 } from "../../src/autopsy/v8/process.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { NODES } from "../../test/system/support/autopsy.ts";

const SERVER = `
const { createServer } = require("node:http");
function work(url, depth) {
  if (depth > 0) return work(url + depth, depth - 1);
  const list = Array.from({ length: 50 }, (_, at) => ({ at, text: url + at }));
  const copy = JSON.parse(JSON.stringify({ url, list })).list;
  copy.sort((left, right) => right.at - left.at);
  return copy.filter(({ text }) => /9+$/.test(text)).length;
}
createServer(async (request, response) => {
  const first = await Promise.all([work(request.url, 3), new Promise(setImmediate)]);
  response.end(String(first[0] + work(request.url, 5)));
}).listen(0, "127.0.0.1", function () { process.stdout.write(this.address().port + "\\n"); });
`;
const TRUTH = path.resolve(import.meta.dirname, "../../test/apps/autopsy/stacks-truth.cjs");
const CLIENTS = 8;

interface Counts {
  samples: number;
  incomplete: number;
  wrong: number;
  readonly heldMs: number[];
}

interface Sample {
  readonly frames: readonly StackFrame[];
  readonly isComplete: boolean;
}

class Sampler {
  readonly #isTraced: boolean;
  #prepared: PreparedV8 | null = null;

  constructor(isTraced: boolean) {
    this.#isTraced = isTraced;
  }

  take(pid: number, heldMs: number[]): Sample {
    const target = openTarget(pid, { tracer: this.#isTraced ? new PtraceTracer() : null });
    const startedAt = performance.now();
    try {
      this.#prepared ??= prepareV8(target.executable);
      const { threads } = readStacks(openV8(target, this.#prepared));
      const main = threads.find(({ tid }) => tid === pid);
      return { frames: main?.frames ?? [], isComplete: main?.isComplete ?? false };
    } finally {
      target.close();
      heldMs.push(performance.now() - startedAt);
    }
  }
}

function report(name: string, { samples, incomplete, wrong, heldMs }: Counts): void {
  const median = heldMs.toSorted((left, right) => left - right)[Math.floor(heldMs.length / 2)] ?? 0;
  console.log(
    `${name}: ${samples} samples, ${incomplete} incomplete, ${wrong} wrong, ` +
      `held ${median.toFixed(1)} ms (median)`,
  );
}

function line({ name, location }: StackFrame): string {
  return `${name} ${location?.line}:${location?.column}`;
}

async function server(node: string, sampler: Sampler, samples: number): Promise<void> {
  const child = spawn(node, ["-e", SERVER], { stdio: ["ignore", "pipe", "inherit"] });
  // A stream of bytes: what it emits are buffers.
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(chunk.toString("utf8").trim());
  const counts: Counts = { samples, incomplete: 0, wrong: 0, heldMs: [] };
  let isOver = false;
  const ask = (): void => {
    if (isOver) return;
    const call = request({ port, host: "127.0.0.1", path: "/path" }, (response) => {
      response.resume().once("close", ask);
    });
    call.once("error", () => undefined).end();
  };
  for (let client = 0; client < CLIENTS; client += 1) ask();
  for (let count = 0; count < samples; count += 1) {
    await sleep(2 + Math.random() * 8);
    const { frames, isComplete } = sampler.take(child.pid ?? 0, counts.heldMs);
    const [bottom] = frames.filter(({ kind }) => kind === "native").slice(-1);
    if (!isComplete) counts.incomplete += 1;
    else if (bottom?.name !== "_start") counts.wrong += 1;
  }
  isOver = true;
  child.kill("SIGKILL");
  report("server", counts);
}

async function circle(node: string, sampler: Sampler, samples: number): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), "soak-"));
  const file = path.join(folder, "truth.json");
  const child = spawn(node, [TRUTH, file, "700", "spin"], { stdio: "ignore" });
  const counts: Counts = { samples, incomplete: 0, wrong: 0, heldMs: [] };
  await sleep(2_000);
  // Written by the program of this repository.
  const truth = JSON.parse(readFileSync(file, "utf8")) as {
    frames: { name: string; file: string | null; line: number; column: number; isEval: boolean }[];
  };
  const expected = truth.frames
    .filter((frame) => frame.file !== null || frame.isEval)
    .map((frame) => `${frame.name} ${frame.line}:${frame.column}`)
    .slice(1);
  for (let count = 0; count < samples; count += 1) {
    await sleep(2 + Math.random() * 8);
    const { frames, isComplete } = sampler.take(child.pid ?? 0, counts.heldMs);
    const seen = frames.filter(({ kind }) => kind === "javascript" || kind === "async").map(line);
    const isEqual =
      seen[0]?.startsWith("hold ") === true && seen.slice(1).join() === expected.join();
    if (!isComplete) counts.incomplete += 1;
    else if (!isEqual) {
      counts.wrong += 1;
      if (counts.wrong === 1) console.log(seen.join("\n"));
    }
  }
  child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
  report("circle", counts);
}

const { values } = parseArgs({
  options: {
    samples: { type: "string", default: "300" },
    major: { type: "string", default: "24" },
    untraced: { type: "boolean", default: false },
  },
});
const node = NODES.get(Number(values.major));
if (node === undefined) throw new Error(`no Node ${values.major} here`);
const sampler = new Sampler(!values.untraced);
await server(node, sampler, Number(values.samples));
await circle(node, sampler, Number(values.samples));
