/**
 * `holdfast patch`: functions of the running program replaced by those of the file on disk, where
 * V8 can do that safely.
 *
 * ```
 *   file on disk --compared with what each worker has loaded--> nothing | refused | functions
 *   functions --each worker's agent--> replaced, so many closures of each | refused, nothing done
 * ```
 * A worker that is started later loads the file from disk, so what is patched lasts.
 */
import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import path from "node:path";
import { EXIT_CODES, HoldfastError, nearestName } from "../base/mod.ts";
import type { LoadedScript } from "../base/mod.ts";
import type { PatchOrder, WorkerPatch, WorkerScript } from "../supervision/mod.ts";
import { ask } from "./control-client.ts";
import type { Service } from "./control-client.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import { compareSources } from "./patch-compare.ts";
import type { ChangedFunction } from "./patch-compare.ts";
import { printable } from "./table.ts";
import type { Parsed, World } from "./verb.ts";
import { workerOf } from "./worker-argument.ts";

/** A request to the service has 1 MiB at most, and has the text up to twice. */
const FILE_BYTES_MAX: number = 480 * 1024;
/** Of files that may have been meant. */
const NAMES_MAX = 5;
/** As the service waits for an agent, which walks a heap. */
const PATCH_LIMIT_MS = 310_000;
/** What Node appends to a file whose types it has stripped (lib/internal/modules/typescript.js). */
const STRIPPED_END = /\n\n\/\/# sourceURL=[^\n]*$/;

type Source = Extract<LoadedScript, { source: string }>;

/** What became of a worker, or would. */
interface Outcome {
  readonly worker: number;
  readonly pid: number;
  readonly state: "patched" | "would be patched" | "same" | "refused";
  readonly reason: string | null;
  /** Where it was replaced, as V8 did not edit the file; null: it did. */
  readonly bound: readonly string[] | null;
  readonly heldMs: number | null;
  readonly functions: readonly {
    readonly name: string;
    readonly line: number;
    /** Closures that have the new code now, and that keep the old; null: not counted. */
    readonly renewed: number | null;
    readonly kept: number | null;
  }[];
}

interface Plan {
  readonly order: PatchOrder;
  readonly functions: readonly ChangedFunction[];
}

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const { file, worker } = argumentsOf(parsed, world);
  const service = await chosenService(parsed, world);
  const isDryRun = parsed.flags["dry-run"] === true;
  const text = readText(file);
  // our own service, of this version
  const { scripts } = (await ask(service, "POST", "/v1/scripts", { worker, path: file })) as {
    scripts: readonly WorkerScript[];
  };
  const outcomes: Outcome[] = [];
  for (const each of scripts.toSorted((a, b) => a.worker - b.worker)) {
    outcomes.push(await patched(service, each, file, text, isDryRun));
  }
  if (parsed.flags["json"] === true) {
    world.stdout.write(`${JSON.stringify({ file, workers: outcomes }, null, 2)}\n`);
  } else world.stdout.write(`${describe(outcomes, file).join("\n")}\n`);
  const isRefused = outcomes.some(({ state }) => state === "refused");
  return isRefused ? EXIT_CODES.failed : EXIT_CODES.ok;
}

/** Compares, and has one worker patched. */
async function patched(
  service: Service,
  { worker, pid, script, error }: WorkerScript,
  file: string,
  text: string,
  isDryRun: boolean,
): Promise<Outcome> {
  const base = { worker, pid, functions: [], heldMs: null, reason: null, bound: null };
  const refuse = (reason: string): Outcome => ({ ...base, state: "refused", reason });
  if (script === null) return refuse(error ?? "it did not answer");
  if (script.source === null) return refuse(notLoaded(file, script.others));
  const plan = planFor(script, file, text, isDryRun);
  if (typeof plan === "string") return refuse(plan);
  if (plan.functions.length === 0) return { ...base, state: "same" };
  const body = { worker, ...plan.order };
  const { patches } = (await ask(service, "POST", "/v1/patch", body, PATCH_LIMIT_MS)) as {
    patches: readonly WorkerPatch[]; // our own service, of this version
  };
  const answer = patches.find((each) => each.pid === pid);
  if (answer === undefined) return refuse("it has just ended");
  const { result } = answer;
  if (result.refused !== null) return refuse(result.refused);
  const functions = plan.functions.map(({ name, line }, index) => {
    const { renewed = null, kept = null } = result.counts[index] ?? {};
    return { name, line, renewed, kept };
  });
  const state = isDryRun ? "would be patched" : "patched";
  const { heldMs, bound } = result;
  const reason = bound?.why ?? null;
  return { worker, pid, state, reason, bound: bound?.places ?? null, heldMs, functions };
}

/** What to ask of a worker, or why there is nothing to ask. */
function planFor(
  { source, isModule }: Source,
  file: string,
  text: string,
  isDryRun: boolean,
): Plan | string {
  const after = loadedForm(file, text, source);
  if (typeof after !== "string") return after.refused;
  const comparison = compareSources(source, after, isModule);
  if (comparison.refused !== null) return comparison.refused;
  const { functions, merged } = comparison;
  const order: PatchOrder = {
    path: file,
    isModule,
    beforeSha256: createHash("sha256").update(source).digest("hex"),
    // with the lines of the file where V8 takes that, else without what else differs
    sources: merged === after ? [after] : [after, merged],
    functions: functions.map(({ before, after: now, rebind }) => ({ before, after: now, rebind })),
    isDryRun,
  };
  return { order, functions };
}

/** A file as Node gives it to V8. */
function loadedForm(file: string, text: string, source: string): string | { refused: string } {
  if (!/\.[cm]?ts$/.test(file)) return text;
  const [end = ""] = STRIPPED_END.exec(source) ?? [];
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => undefined; // that it is experimental is no news to whoever runs it
  try {
    return stripTypeScriptTypes(text) + end;
  } catch (error) {
    const [why = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return { refused: `its types cannot be stripped: ${why}` };
  } finally {
    process.emitWarning = emitWarning;
  }
}

function notLoaded(file: string, others: readonly string[]): string {
  const base = path.basename(file);
  const same = others.filter((other) => path.basename(other) === base);
  const near = nearestName(base, new Set(others.map((other) => path.basename(other))));
  const similar = others.filter((other) => path.basename(other) === near);
  const neighbours = others.filter((other) => path.dirname(other) === path.dirname(file));
  const best = [same, similar, neighbours].find(({ length }) => length > 0) ?? others;
  return `it has not loaded this file; it has loaded ${best.slice(0, NAMES_MAX).join(", ")}`;
}

function argumentsOf(parsed: Parsed, world: World): { file: string; worker: number | null } {
  const problem = (what: string): HoldfastError => usage({ name: "patch" }, what);
  const isAll = parsed.flags["all"] === true;
  const [first, second] = parsed.positionals;
  const name = isAll ? first : second;
  if (isAll && second !== undefined) throw problem("--all and a worker cannot be both");
  if (name === undefined) {
    throw problem("say which: holdfast patch <worker> <file>, or holdfast patch --all <file>");
  }
  const worker = isAll ? null : workerOf("patch", parsed);
  return { file: realPath(path.resolve(world.cwd, name)), worker };
}

/** Node knows a module by the path without symbolic links. */
function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    throw unreadable(file, error);
  }
}

function readText(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw unreadable(file, error);
  }
  if (bytes.length > FILE_BYTES_MAX) {
    throw unreadable(file, new Error(`it has more than ${FILE_BYTES_MAX / 1024} KiB`));
  }
  return bytes.toString();
}

function unreadable(file: string, error: unknown): HoldfastError {
  const why = error instanceof Error ? error.message : String(error);
  const message = `Cannot patch with ${file}: ${why}. Nothing was changed.`;
  return new HoldfastError("ERR_HOLDFAST_PATCH", message, { cause: error });
}

function describe(outcomes: readonly Outcome[], file: string): readonly string[] {
  const lines = outcomes.flatMap((outcome) => {
    const { worker, pid, state, reason, bound, heldMs, functions } = outcome;
    const held = heldMs === null || state !== "patched" ? "" : `, held for ${heldMs} ms`;
    const what = state === "same" ? "runs what is in the file" : state;
    const where =
      bound === null ? "" : ` where they are bound (${bound.join(", ")}), as V8 did not`;
    const why = reason === null ? "" : `${printable(where)}: ${printable(reason)}`;
    return [
      `worker ${worker} (pid ${pid}) ${what}${held}${why}`,
      ...functions.map((each) => `  ${functionText(each, file)}`),
    ];
  });
  const isRefused = outcomes.some(({ state }) => state === "refused");
  if (isRefused)
    lines.push("Where it was refused nothing was changed; holdfast reload does it all.");
  else if (outcomes.some(({ state }) => state === "patched")) {
    lines.push("Workers that are started from now on load the file as it is on disk.");
  }
  return lines;
}

function functionText(
  { name, line, renewed, kept }: Outcome["functions"][number],
  file: string,
): string {
  const what = printable(`${name === "" ? "(anonymous)" : name} (${file}:${line})`);
  if (renewed === null || kept === null) return what;
  const count = renewed === 0 ? "nothing in memory has it" : `${renewed} in memory`;
  const old = kept === 0 ? "" : `; ${kept} keep the old code: made before, or held by others`;
  return `${what}: ${count}${old}`;
}
