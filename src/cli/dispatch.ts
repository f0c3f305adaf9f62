/**
 * From arguments to a verb to an exit code.
 *
 * ```
 *   holdfast status --json  ->  verb "status"  ->  parse  ->  load("./status.ts")  ->  exit code
 * ```
 */
import { EXIT_CODES, HoldfastError, VERSION, didYouMean, exitCodeOf } from "../base/mod.ts";
import { overview, verbHelp } from "./help.ts";
import { parseCommandLine } from "./parse.ts";
import type { Verb, World } from "./verb.ts";
import { VERBS } from "./verbs.ts";

/** Carries out a command line; never rejects, errors become a message and an exit code. */
export async function dispatch(args: readonly string[], world: World): Promise<number> {
  try {
    return await carryOut(args, world);
  } catch (error) {
    const asJson = args.slice(0, terminator(args)).includes("--json");
    world.stderr.write(asJson ? jsonError(error) : humanError(error));
    return exitCodeOf(error);
  }
}

async function carryOut(args: readonly string[], world: World): Promise<number> {
  const [first, ...rest] = args;
  if (first === undefined) {
    world.stderr.write(overview(VERBS));
    return EXIT_CODES.usage;
  }
  if (first === "--version" || first === "-v") {
    world.stdout.write(`${VERSION}\n`);
    return EXIT_CODES.ok;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    const [name] = rest;
    world.stdout.write(name === undefined ? overview(VERBS) : verbHelp(findVerb(name)));
    return EXIT_CODES.ok;
  }
  const verb = findVerb(first);
  if (asksForHelp(rest)) {
    world.stdout.write(verbHelp(verb));
    return EXIT_CODES.ok;
  }
  const parsed = parseCommandLine(verb, rest);
  const { execute } = await verb.load();
  return execute(parsed, world);
}

function findVerb(name: string): Verb {
  const verb = VERBS.find((each) => each.name === name);
  if (verb !== undefined) return verb;
  const names = VERBS.map((each) => each.name);
  const isFile = /[./\\]/.test(name);
  const advice = isFile ? ` To run a file: holdfast run ${name}` : didYouMean(name, names);
  throw new HoldfastError(
    "ERR_HOLDFAST_USAGE",
    `Cannot do ${JSON.stringify(name)}: there is ${names.join(", ")}.${advice}`,
  );
}

function asksForHelp(args: readonly string[]): boolean {
  const own = args.slice(0, terminator(args));
  return own.includes("--help") || own.includes("-h");
}

/** Where the application's own arguments begin. */
function terminator(args: readonly string[]): number {
  const index = args.indexOf("--");
  return index === -1 ? args.length : index;
}

function humanError(error: unknown): string {
  if (error instanceof HoldfastError) return `holdfast: ${error.message} [${error.code}]\n`;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `holdfast: this is a fault of Holdfast's own, please report it:\n${stack}\n`;
}

function jsonError(error: unknown): string {
  const code = error instanceof HoldfastError ? error.code : "ERR_HOLDFAST_INTERNAL";
  const message = error instanceof Error ? error.message : String(error);
  const time = new Date().toISOString();
  return `${JSON.stringify({ code, time, level: "error", source: "cli", message })}\n`;
}
