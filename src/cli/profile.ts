/**
 * `holdfast profile`: where the time of a worker goes, who allocates, what is in its heap; while it
 * serves, and while it spins.
 *
 * ```
 *   cpu, heap, allocations   start --> wait --> stop --> .cpuprofile, .heapprofile, pprof, flames
 *   heapsnapshot             cost  --> (refused) --> the worker writes the file itself
 *   Ctrl-C: a profile ends early, and what there is is written; again: leaves at once, no file
 * ```
 */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import path from "node:path";
import {
  EXIT_CODES,
  HoldfastError,
  formatDuration,
  formatSize,
  parseDuration,
} from "../base/mod.ts";
import type { ProfileLine } from "../supervision/mod.ts";
import { ask, stream } from "./control-client.ts";
import type { Service } from "./control-client.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import { printable } from "./table.ts";
import type { Parsed, World } from "./verb.ts";
import { workerOf } from "./worker-argument.ts";

type Kind = "cpu" | "heap" | "allocations" | "heapsnapshot";
const KINDS: readonly string[] = ["cpu", "heap", "allocations", "heapsnapshot"] satisfies Kind[];

/** What V8 calls it, by which DevTools knows it. */
const EXTENSIONS: Readonly<Record<Kind, string>> = {
  cpu: "cpuprofile",
  heap: "heapprofile",
  allocations: "heapprofile",
  heapsnapshot: "heapsnapshot",
};

const DURATION_DEFAULT = "10s";
/** As the service allows. */
const DURATION_MS_MAX = 600_000;
/** Node's own default for --cpu-prof, and V8's for heap sampling. */
const INTERVAL_DEFAULT = { cpu: 1000, heap: 64 * 1024, allocations: 64 * 1024 } as const;

const FORMATS = ["v8", "pprof", "html", "svg"] as const;
type Format = (typeof FORMATS)[number];

interface Order {
  readonly kind: Kind;
  readonly worker: number;
  readonly durationMs: number;
  readonly file: string;
  readonly format: Format;
}

/** Where people read: what is under way, and warnings. */
interface Says {
  readonly say: (text: string) => void;
  readonly warn: (text: string) => void;
}

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const kind = kindOf(parsed);
  const worker = workerOf("profile", parsed, 1) ?? 0;
  const durationMs = durationOf(parsed);
  const service = await chosenService(parsed, world);
  const order: Order = {
    kind,
    worker,
    durationMs,
    ...fileOf(parsed, world, service, kind, worker),
  };
  const isJson = parsed.flags["json"] === true;
  const say = (text: string): void => void (isJson ? 0 : world.stdout.write(`${text}\n`));
  const warn = (text: string): void => void world.stderr.write(`holdfast: ${text}\n`);
  const says: Says = { say, warn };
  if (kind === "heapsnapshot") await snapshot(service, order, parsed.flags["force"] === true, says);
  else await profile(service, order, kind, says);
  if (isJson) world.stdout.write(`${JSON.stringify({ kind, worker, file: order.file })}\n`);
  else say(`wrote ${order.file}${hint(order)}`);
  return EXIT_CODES.ok;
}

async function profile(
  service: Service,
  order: Order,
  what: Exclude<Kind, "heapsnapshot">,
  { say, warn }: Says,
): Promise<void> {
  const { worker, format, file } = order;
  let { durationMs } = order;
  const body = { worker, what, durationMs, interval: INTERVAL_DEFAULT[what] };
  const parts: string[] = [];
  let started: { readonly profile: number; readonly atMs: number } | null = null;
  const stop = (): boolean => {
    if (started === null) return false;
    durationMs = Math.min(durationMs, Math.round(performance.now() - started.atMs));
    const after = `${formatDuration(durationMs)} of ${formatDuration(order.durationMs)}`;
    warn(`stops after ${after} and writes what there is; again: leaves at once, without a file`);
    const { profile: number } = started;
    ask(service, "POST", "/v1/profile/stop", { profile: number }).catch((error: unknown) => {
      warn(`it goes on to its end: ${messageOf(error)}`);
    });
    return true;
  };
  await interruptible(stop, async () => {
    await follow(service, "/v1/profile", body, (line) => {
      if (line.type === "part") parts.push(line.text);
      else if (line.type === "started") {
        started = { profile: line.profile, atMs: performance.now() };
        say(`worker ${line.worker} (pid ${line.pid}): ${what} profile for ${durationMs / 1000} s`);
      } else if (line.type === "done") {
        const characters = parts.reduce((sum, { length }) => sum + length, 0);
        if (characters !== line.characters) throw failed("a part of the profile is missing");
      }
    });
  });
  const text = parts.join("");
  if (format === "v8") return write(file, text);
  const { profileTree } = await import("./profile-tree.ts");
  const tree = profileTree(text);
  if (format === "pprof") {
    const { pprof } = await import("./pprof.ts");
    return write(file, pprof(tree, { durationMs, endedAtMs: Date.now() }));
  }
  const { flameGraph, flameGraphSvg } = await import("./flame-graph.ts");
  const title = `${service.name}, worker ${worker}: ${what}, ${new Date().toISOString()}`;
  write(file, (format === "svg" ? flameGraphSvg : flameGraph)(tree, title));
}

async function snapshot(
  service: Service,
  { worker, file }: Order,
  force: boolean,
  { say, warn }: Says,
): Promise<void> {
  const stop = (): boolean => {
    warn(`a heap snapshot cannot be stopped; again: leaves, the worker writes ${file} on its own`);
    return true;
  };
  await interruptible(stop, async () => {
    say(`worker ${worker} is asked for the size of its heap`);
    await follow(service, "/v1/snapshot", { worker, path: file, force }, (line) => {
      if (line.type !== "cost") return;
      const { heapBytes, neededBytes, availableBytes, pauseMs } = line;
      say(
        `worker ${worker} has ${mebibytes(heapBytes)} of heap: it will stand still for up to ` +
          `${(pauseMs / 1000).toFixed(1)} s and need up to ${mebibytes(neededBytes)} more ` +
          `memory; ${mebibytes(availableBytes)} is available`,
      );
    });
  });
}

/**
 * Does it; at the first Ctrl-C asks for its early end, at the second, or where nothing has begun
 * that could be ended, leaves: the service sees that, and lets go of the worker.
 */
async function interruptible(stop: () => boolean, act: () => Promise<void>): Promise<void> {
  let isStopping = false;
  const onSignal = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping || !stop()) process.exit(128 + constants.signals[signal]);
    isStopping = true;
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, onSignal);
  try {
    await act();
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, onSignal);
  }
}

/** Reads the lines of an answer up to its end, which must be a good one. */
async function follow(
  service: Service,
  target: string,
  body: object,
  onLine: (line: ProfileLine) => void,
): Promise<void> {
  let isDone = false;
  for await (const value of stream(service, "POST", target, body)) {
    const line = value as ProfileLine; // our own service, of this version
    if (line.type === "failed") throw failed(printable(line.message));
    onLine(line);
    isDone = line.type === "done";
  }
  if (!isDone) throw failed("the service ended in the middle of it");
}

function kindOf(parsed: Parsed): Kind {
  const [kind] = parsed.positionals;
  if (kind !== undefined && KINDS.includes(kind)) return kind as Kind; // it is one of them
  const what = kind === undefined ? "what is to be profiled is missing" : JSON.stringify(kind);
  throw usage({ name: "profile" }, `${what}; there is ${KINDS.join(", ")}`);
}

function durationOf(parsed: Parsed): number {
  const text = parsed.flags["for"];
  const durationMs = parseDuration(typeof text === "string" ? text : DURATION_DEFAULT);
  if (durationMs >= 1 && durationMs <= DURATION_MS_MAX) return Math.round(durationMs);
  throw usage({ name: "profile" }, `--for ${String(text)} is not between 1ms and 10m`);
}

function fileOf(
  parsed: Parsed,
  world: World,
  service: Service,
  kind: Kind,
  worker: number,
): { readonly file: string; readonly format: Format } {
  const given = parsed.flags["output"];
  const format = formatOf(parsed.flags["format"], typeof given === "string" ? given : "");
  if (kind === "heapsnapshot" && format !== "v8") {
    throw usage({ name: "profile" }, "a heap snapshot has no other format than V8's");
  }
  const extension = { v8: EXTENSIONS[kind], pprof: "pb.gz", html: "html", svg: "svg" }[format];
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const name = `${service.name}-w${worker}-${stamp}.${extension}`;
  const file = path.resolve(world.cwd, typeof given === "string" ? given : name);
  return { file, format };
}

function formatOf(given: Parsed["flags"][string] | undefined, file: string): Format {
  if (given !== undefined) {
    const known = FORMATS.find((each) => each === given);
    if (known !== undefined) return known;
    const problem = `--format ${JSON.stringify(given)} is none; there is ${FORMATS.join(", ")}`;
    throw usage({ name: "profile" }, problem);
  }
  if (file.endsWith(".html")) return "html";
  if (file.endsWith(".svg")) return "svg";
  return /\.pb(\.gz)?$|\.pprof$/.test(file) ? "pprof" : "v8";
}

function write(file: string, content: string | Uint8Array): void {
  const wasThere = existsSync(file);
  try {
    writeFileSync(file, content, { mode: 0o600 });
  } catch (error) {
    if (!wasThere) rmSync(file, { force: true }); // half a profile is none
    const message = `it cannot be written to ${file}: ${messageOf(error)}`;
    throw new HoldfastError("ERR_HOLDFAST_PROFILE", `Cannot take the profile: ${message}.`, {
      cause: error,
    });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function hint({ kind, format }: Order): string {
  if (format === "html" || format === "svg") return ": open it in a browser";
  if (format === "pprof") return ": go tool pprof -http=: <file>";
  const panel = kind === "cpu" ? "Performance" : "Memory";
  return `: load it in the ${panel} panel of Chrome DevTools`;
}

function mebibytes(bytes: number): string {
  const mib = 1024 * 1024;
  return formatSize(Math.max(1, Math.round(bytes / mib)) * mib);
}

function failed(why: string): HoldfastError {
  return new HoldfastError("ERR_HOLDFAST_PROFILE", `Cannot take the profile: ${why}.`);
}
