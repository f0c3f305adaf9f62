/**
 * `holdfast autopsy`: reads a core file or a live process.
 *
 * ```
 *   holdfast autopsy <core|pid> <verb> ...     one verb, or a pipe of them in quotes
 *   holdfast autopsy <core|pid>                a shell
 *   holdfast autopsy dump <pid>                writes a core
 *   holdfast autopsy help [verb]               what there is
 * ```
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { AUTOPSY_VERBS, Session, jsonOf, openTarget, parseExpression } from "../autopsy/mod.ts";
import { runExpression, wordsAndFlags, writeDump } from "../autopsy/mod.ts";
import type { Result, SessionOptions, Stage, Tracer } from "../autopsy/mod.ts";
import { EXIT_CODES, formatDuration, formatSize, wantsColor } from "../base/mod.ts";
import { PtraceTracer } from "../os/mod.ts";
import { resultText } from "./autopsy-view.ts";
import { usage } from "./parse.ts";
import type { Parsed, World } from "./verb.ts";

const VERB = { name: "autopsy" } as const;
const PROGRESS_MS = 200;

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const [what, ...rest] = parsed.positionals;
  if (what === undefined) throw usage(VERB, "say which core file or process id");
  if (what === "dump" && !existsSync("dump")) return dump(rest, parsed, world);
  if ((what === "help" && !existsSync("help")) || rest[0] === "help") {
    const { helpText } = await import("./autopsy-shell.ts");
    world.stdout.write(helpText(what === "help" ? rest[0] : rest[1]));
    return EXIT_CODES.ok;
  }
  const stages = stagesOf(rest, parsed);
  const options: SessionOptions = {
    node: textFlag(parsed, "node"),
    tracer: tracer(),
    environment: { ...world.environment },
    onProgress: progress(world),
  };
  if (stages !== null && isShortLook(what, stages)) {
    const result = await Session.brief(Number(what), options, (session) =>
      runExpression(session, stages, undefined),
    );
    show(result, parsed, world);
    return EXIT_CODES.ok;
  }
  const copy = /^\d+$/.test(what) ? copyOf(Number(what), parsed) : null;
  try {
    const title = copy === null ? {} : { title: `pid ${what}` };
    const session = await Session.open(copy?.path ?? what, { ...options, ...title });
    return await work(session, stages, parsed, world);
  } finally {
    copy?.remove();
  }
}

async function work(
  session: Session,
  stages: readonly Stage[] | null,
  parsed: Parsed,
  world: World,
): Promise<number> {
  try {
    if (stages === null) {
      const { runShell } = await import("./autopsy-shell.ts");
      return await runShell(session, world);
    }
    show(await runExpression(session, stages, undefined), parsed, world);
    return EXIT_CODES.ok;
  } finally {
    session.close();
  }
}

function show(result: Result, parsed: Parsed, world: World): void {
  clearProgress(world);
  if (parsed.flags["json"] === true) {
    world.stdout.write(`${JSON.stringify(jsonOf(result), null, 2)}\n`);
  } else world.stdout.write(resultText(result, wantsColor(world.stdout, world.environment)));
}

/**
 * What reads so little of a live process that it stands still for milliseconds only. Everything
 * else is done on a copy of all its memory.
 */
const SHORT: readonly string[] = ["info", "stacks", "threads", "args", "env"];

function isShortLook(what: string, stages: readonly Stage[]): boolean {
  return /^\d+$/.test(what) && stages.every(({ name }) => SHORT.includes(name));
}

interface Copy {
  readonly path: string;
  remove(): void;
}

/** A dump of a live process, in a temporary folder. */
function copyOf(pid: number, parsed: Parsed): Copy {
  const folder = mkdtempSync(path.join(os.tmpdir(), "holdfast-autopsy-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const target = openTarget(pid, { node: textFlag(parsed, "node"), tracer: tracer() });
    try {
      return { path: writeDump(target, path.join(folder, `pid ${pid}`)).path, remove };
    } finally {
      target.close();
    }
  } catch (error) {
    remove();
    throw error;
  }
}

/** What is to be done; null: the shell. */
function stagesOf(rest: readonly string[], parsed: Parsed): readonly Stage[] | null {
  const [first, ...words] = rest;
  if (first === undefined) return null;
  if (/[\s|]/.test(first)) return parseExpression([first, ...words].join(" "));
  const verb = AUTOPSY_VERBS.find(({ name }) => name === first);
  if (verb === undefined) return parseExpression(first); // which says what there is
  const flags = Object.entries(parsed.flags).flatMap(([name, value]) => {
    if (name === "node" || name === "json") return [];
    return value === true ? [`--${name}`] : [`--${name}`, String(value)];
  });
  return [{ name: first, ...wordsAndFlags(verb, [...words, ...flags]) }];
}

/** Stops a process and lets it run on as soon as the core is written. */
function dump(rest: readonly string[], parsed: Parsed, world: World): number {
  const [pid, ...more] = rest;
  if (pid === undefined || !/^\d+$/.test(pid) || more.length > 0) {
    throw usage(VERB, "dump takes one process id");
  }
  const output = textFlag(parsed, "output") ?? `core.${pid}`;
  const target = openTarget(Number(pid), { node: textFlag(parsed, "node"), tracer: tracer() });
  const started = performance.now();
  try {
    const { path, bytes } = writeDump(target, output);
    target.close();
    const pausedMs = Math.round(performance.now() - started);
    const facts = { path, bytes, pid: Number(pid), pausedMs };
    const text =
      `${path}: ${formatSize(bytes)}; process ${pid} stood still for ` +
      `${formatDuration(pausedMs)}\nholdfast autopsy ${path} stacks\n`;
    world.stdout.write(parsed.flags["json"] === true ? `${JSON.stringify(facts)}\n` : text);
    return EXIT_CODES.ok;
  } finally {
    target.close();
  }
}

function tracer(): Tracer | null {
  return process.platform === "linux" ? new PtraceTracer() : null;
}

function textFlag({ flags }: Parsed, name: string): string | null {
  const value = flags[name];
  return typeof value === "string" ? value : null;
}

/** Progress of long work, on a terminal. */
function progress(world: World): (what: string, done: number, total: number) => void {
  let shownAt = performance.now();
  return (what, done, total) => {
    if (world.stderr.isTTY !== true || performance.now() - shownAt < PROGRESS_MS) return;
    shownAt = performance.now();
    const percent = total > 0 ? ` ${Math.min(99, Math.floor((100 * done) / total))} %` : "";
    world.stderr.write(`\r\u001B[K${what}${percent}`);
  };
}

function clearProgress(world: World): void {
  if (world.stderr.isTTY === true) world.stderr.write("\r\u001B[K");
}
