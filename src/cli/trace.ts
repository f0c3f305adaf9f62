/**
 * `holdfast trace`: sends a program to the workers, shows what comes back, and leaves nothing
 * behind.
 *
 * ```
 *   check here --> POST /v1/trace --> lines --> Merger --> a view that is drawn again each second,
 *                                                          or text, or JSON, at the end
 *   Ctrl-C: asks for the last figures; again: leaves at once
 * ```
 */
import { readFileSync } from "node:fs";
import { EXIT_CODES, EXPIRY_MS, HoldfastError, didYouMean, parseDuration } from "../base/mod.ts";
import type { TraceLine } from "../supervision/mod.ts";
import {
  Merger,
  TraceProgramError,
  checkProgram,
  excerpt,
  listPrograms,
  readProgram,
} from "../trace/mod.ts";
import type { TraceSnapshot, UserProbe } from "../trace/mod.ts";
import { ask, stream } from "./control-client.ts";
import type { Service } from "./control-client.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import { printable, renderTable } from "./table.ts";
import { namesUserProbes, unknownProbes } from "./trace-hints.ts";
import { TraceView } from "./trace-view.ts";
import type { Parsed, World } from "./verb.ts";

const VERB = { name: "trace" };

export async function execute(parsed: Parsed, world: World): Promise<number> {
  if (parsed.flags["list"] === true) return list(parsed, world);
  const source = chosenProgram(parsed);
  const isDestructive = parsed.flags["destructive"] === true;
  let probes: readonly string[];
  try {
    ({ probes } = checkProgram(source, { isDestructive }));
  } catch (error) {
    if (error instanceof TraceProgramError && parsed.flags["json"] !== true) {
      world.stderr.write(`${excerpt(source, error.offset)}\n`);
    }
    throw error;
  }
  const order = {
    program: source,
    destructive: isDestructive,
    expiryMs: expiryMs(parsed),
    ...budget(parsed),
    ...worker(parsed),
  };
  const service = await chosenService(parsed, world);
  const made = namesUserProbes(probes) ? await askProbes(service) : [];
  // from our own workers
  const hints = unknownProbes(probes, made as readonly UserProbe[]);
  return run(service, order, hints, parsed, world);
}

async function run(
  service: Service,
  order: unknown,
  hints: readonly string[],
  parsed: Parsed,
  world: World,
): Promise<number> {
  const merger = new Merger();
  const view = new TraceView(world, parsed.flags["json"] === true);
  let trace: number | null = null;
  let reason: string | null = null;
  let refusals = 0;
  let workers = 0;
  const onSignal = (): void => {
    if (trace === null || view.isLeaving) process.exit(EXIT_CODES.ok);
    view.isLeaving = true;
    void post(service, trace);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // `holdfast trace ... | head`: whoever reads has left; or the disk is full
  const onLost = ({ code }: NodeJS.ErrnoException): void => {
    if (trace === null) process.exit(code === "EPIPE" ? EXIT_CODES.ok : EXIT_CODES.failed);
    if (!view.isLeaving) onSignal();
  };
  process.stdout.on("error", onLost);
  try {
    for await (const each of stream(service, "POST", "/v1/trace", order)) {
      const line = each as TraceLine; // from our own reactor, behind a socket of mode 0600
      view.line(line);
      switch (line.type) {
        case "started":
          trace = line.trace;
          workers = line.workers.length;
          for (const hint of hints) view.hint(hint);
          break;
        case "refused":
          refusals += 1;
          break;
        case "snapshot": {
          const snapshot = line.snapshot as TraceSnapshot; // as above
          merger.take(line.id, snapshot);
          view.snapshot(line.worker, snapshot);
          break;
        }
        case "round":
          view.draw(merger.merged(), line.silent);
          break;
        case "gone":
          break;
        case "ended":
          ({ reason } = line);
      }
    }
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
    process.stdout.off("error", onLost);
  }
  view.end(merger.merged(), reason ?? "the service has gone away");
  const isRefused = workers > 0 && refusals >= workers;
  return reason === null || isRefused ? EXIT_CODES.failed : EXIT_CODES.ok;
}

/** Asks for the last figures; if that fails, the stream's end says so. */
async function post(service: Service, trace: number): Promise<void> {
  for await (const _line of stream(service, "POST", "/v1/trace/stop", { trace })) return;
}

/** A program as text, of a file, or a ready one. */
function chosenProgram(parsed: Parsed): string {
  const [text] = parsed.positionals;
  const file = parsed.flags["file"];
  if (typeof file === "string") {
    if (text !== undefined) throw usage(VERB, "give a program or --file, not both");
    return readFile(file);
  }
  if (text === undefined) {
    throw usage(VERB, "give a program, --file <path>, or the name of a ready one (--list)");
  }
  if (!/^[a-z0-9-]+$/.test(text) || text === "begin" || text === "end") return text;
  const ready = readProgram(text);
  if (ready !== null) return ready.source;
  const names = listPrograms().map(({ name }) => name);
  throw usage(VERB, `there is no ready program ${text}.${didYouMean(text, names)}`);
}

function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw usage(VERB, `${file} cannot be read: ${why}`);
  }
}

function expiryMs(parsed: Parsed): number {
  const value = parsed.flags["for"];
  if (typeof value !== "string") return EXPIRY_MS;
  const ms = parseDuration(value);
  if (ms > 0 && ms <= EXPIRY_MS) return ms;
  throw usage(VERB, `--for is ${value}, must be above 0 and at most 1h`);
}

function budget(parsed: Parsed): { readonly budget?: number } {
  const value = parsed.flags["budget"];
  if (typeof value !== "string") return {};
  const share = Number(value.replace(/%$/, "")) / 100;
  if (share > 0 && share <= 1) return { budget: share };
  throw usage(VERB, `--budget is ${value}, must be a share of time such as 2%`);
}

function worker(parsed: Parsed): { readonly worker?: number } {
  const value = parsed.flags["worker"];
  if (typeof value !== "string") return {};
  if (/^\d{1,4}$/.test(value)) return { worker: Number(value) };
  throw usage(VERB, `--worker is ${value}, must be the index of a worker`);
}

function list(parsed: Parsed, world: World): number {
  const programs = listPrograms();
  if (parsed.flags["json"] === true) {
    world.stdout.write(`${JSON.stringify(programs, null, 2)}\n`);
    return EXIT_CODES.ok;
  }
  const columns = [
    { title: "PROGRAM", align: "left" },
    { title: "SHOWS", align: "left" },
  ] as const;
  const rows = programs.map(({ name, meaning }) => [
    { text: name, color: null },
    { text: printable(meaning), color: null },
  ]);
  world.stdout.write(`${renderTable(columns, rows, world.stdout.isTTY === true).join("\n")}\n`);
  return EXIT_CODES.ok;
}

/** What `GET /v1/probes` says. */
export async function askProbes(service: Service): Promise<readonly unknown[]> {
  const answer = await ask(service, "GET", "/v1/probes");
  if (typeof answer === "object" && answer !== null && "probes" in answer) {
    const { probes } = answer;
    if (Array.isArray(probes)) return probes;
  }
  throw new HoldfastError(
    "ERR_HOLDFAST_CONTROL",
    `Cannot read the probes of ${service.name}: the answer has another shape. Use the version of ` +
      `holdfast that runs the service.`,
  );
}
