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
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { AUTOPSY_VERBS, LiveProcess, Session, costText } from "../autopsy/mod.ts";
import { dumpLive, jsonOf, parseExpression, refuseLong } from "../autopsy/mod.ts";
import { runExpression, wordsAndFlags } from "../autopsy/mod.ts";
import type { CopyCost, Result, SessionOptions, Stage, Tracer } from "../autopsy/mod.ts";
import { EXIT_CODES, formatDuration, wantsColor } from "../base/mod.ts";
import { PtraceTracer } from "../os/mod.ts";
import { resultText } from "./autopsy-view.ts";
import { dumpSize } from "./dump-size.ts";
import { usage } from "./parse.ts";
import { Progress } from "./progress.ts";
import type { Parsed, World } from "./verb.ts";

const VERB = { name: "autopsy" } as const;
/** A shorter pause is no news. */
const PAUSE_TOLD_MS = 500;
const ENDINGS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const [what, ...rest] = parsed.positionals;
  if (what === undefined) throw usage(VERB, "say which core file or process id");
  const progress = new Progress(world.stderr);
  try {
    return await carryOut(what, rest, { parsed, world, progress });
  } finally {
    progress.clear(); // an error is about to be told
  }
}

/** What each part of the work needs. */
interface Order {
  readonly parsed: Parsed;
  readonly world: World;
  readonly progress: Progress;
}

async function carryOut(what: string, rest: readonly string[], order: Order): Promise<number> {
  const { parsed, world, progress } = order;
  if (what === "dump" && !existsSync("dump")) return await dump(rest, order);
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
    onProgress: (...news) => progress.show(...news),
  };
  if (stages !== null && isShortLook(what, stages)) {
    const result = await Session.brief(Number(what), options, (session) =>
      runExpression(session, stages, undefined),
    );
    show(result, order);
    return EXIT_CODES.ok;
  }
  return await untilSignal((signal) => work(what, stages, options, { ...order, signal }));
}

/** What a copy will cost the process; refused when that is too much. */
function told(pid: number, cost: CopyCost, parsed: Parsed, world: World): void {
  if (parsed.flags["force"] !== true) refuseLong(pid, cost);
  if (cost.pauseMs >= PAUSE_TOLD_MS) world.stderr.write(`${costText(pid, cost)}\n`);
}

async function work(
  what: string,
  stages: readonly Stage[] | null,
  options: SessionOptions,
  order: Order & { readonly signal: AbortSignal },
): Promise<number> {
  const { parsed, world, progress, signal } = order;
  const session = /^\d+$/.test(what)
    ? await Session.copied(Number(what), options, {
        onCost: (cost) => told(Number(what), cost, parsed, world),
        isKept: stages === null, // a shell may stay open for hours
      })
    : await Session.open(what, options);
  try {
    if (stages === null) {
      const { runShell } = await import("./autopsy-shell.ts");
      return await runShell(session, { world, progress, signal });
    }
    show(await runExpression(session, stages, signal), order);
    return EXIT_CODES.ok;
  } finally {
    session.close();
  }
}

/** Does it, or ends it early at Ctrl-C: a snapshot of a process is to be taken away again. */
async function untilSignal(act: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController();
  let caught: (typeof ENDINGS)[number] | null = null;
  const onSignal = (signal: (typeof ENDINGS)[number]): void => {
    caught = signal;
    controller.abort();
  };
  for (const signal of ENDINGS) process.on(signal, onSignal);
  const code = (): number => 128 + constants.signals[caught ?? "SIGTERM"];
  try {
    const result = await act(controller.signal);
    return caught === null ? result : code();
  } catch (error) {
    if (caught === null) throw error;
    return code();
  } finally {
    for (const signal of ENDINGS) process.off(signal, onSignal);
  }
}

function show(result: Result, { parsed, world, progress }: Order): void {
  progress.clear();
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

/** What is to be done; null: the shell. */
function stagesOf(rest: readonly string[], parsed: Parsed): readonly Stage[] | null {
  const [first, ...words] = rest;
  if (first === undefined) return null;
  if (/[\s|]/.test(first)) return parseExpression([first, ...words].join(" "));
  const verb = AUTOPSY_VERBS.find(({ name }) => name === first);
  if (verb === undefined) return parseExpression(first); // which says what there is
  const flags = Object.entries(parsed.flags).flatMap(([name, value]) => {
    if (["node", "json", "force"].includes(name)) return [];
    return value === true ? [`--${name}`] : [`--${name}`, String(value)];
  });
  return [{ name: first, ...wordsAndFlags(verb, [...words, ...flags]) }];
}

/** Stops a process and lets it run on as soon as its memory is copied. */
async function dump(rest: readonly string[], { parsed, world, progress }: Order): Promise<number> {
  const [text, ...more] = rest;
  if (text === undefined || !/^\d+$/.test(text) || more.length > 0) {
    throw usage(VERB, "dump takes one process id");
  }
  const pid = Number(text);
  const output = textFlag(parsed, "output") ?? `core.${pid}`;
  const { environment } = world;
  const live = new LiveProcess(pid, {
    node: textFlag(parsed, "node"),
    tracer: tracer(),
    environment: { ...environment },
  });
  try {
    return await untilSignal(async (signal) => {
      const { path, bytes, pausedMs, cost } = await dumpLive(live, output, {
        onCost: (expected) => told(pid, expected, parsed, world),
        onProgress: (...news) => progress.show(...news),
        signal,
      });
      progress.clear();
      const { noSnapshot, pauseMs: expectedPauseMs } = cost;
      const isSnapshot = noSnapshot === null;
      const size = dumpSize(path, bytes);
      const { diskBytes } = size;
      const facts = { path, bytes, diskBytes, pid, pausedMs, expectedPauseMs, isSnapshot };
      const said =
        `${path}: ${size.text}; process ${pid} stood still for ` +
        `${formatDuration(pausedMs)}\nholdfast autopsy ${path} stacks\n`;
      world.stdout.write(parsed.flags["json"] === true ? `${JSON.stringify(facts)}\n` : said);
      return EXIT_CODES.ok;
    });
  } finally {
    live.close();
  }
}

function tracer(): Tracer | null {
  return process.platform === "linux" ? new PtraceTracer() : null;
}

function textFlag({ flags }: Parsed, name: string): string | null {
  const value = flags[name];
  return typeof value === "string" ? value : null;
}
