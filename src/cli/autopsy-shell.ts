/**
 * The shell of autopsy: expressions on a prompt, with history and completion; or, when the input is
 * no terminal, a script of them.
 *
 * ```
 *   > find Session --limit 5        1: results are numbered
 *   > $1 | print                    and can be used again
 *   > help find    .exit
 * ```
 * Ctrl-C ends what runs, Ctrl-D the shell.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { AUTOPSY_VERBS, FILTERS, jsonOf, parseExpression, runExpression } from "../autopsy/mod.ts";
import type { Result, Session } from "../autopsy/mod.ts";
import { EXIT_CODES, HoldfastError, didYouMean, formatSize, wantsColor } from "../base/mod.ts";
import type { Environment } from "../base/mod.ts";
import { resultText } from "./autopsy-view.ts";
import type { Progress } from "./progress.ts";
import type { World } from "./verb.ts";

const HISTORY_LINES_MAX = 1_000;
const NAMES_COMPLETED_MAX = 10_000;

/** Reads expressions until the input ends, or the signal comes. */
export async function runShell(
  session: Session,
  { world, progress, signal }: { world: World; progress: Progress; signal: AbortSignal },
): Promise<number> {
  const isTerminal = process.stdin.isTTY && world.stdout.isTTY === true;
  const history = new History(world.environment, isTerminal);
  const shell = new Shell(session, world, progress);
  const lines = readline.createInterface({
    input: process.stdin,
    ...(isTerminal ? { output: process.stdout, history: history.lines } : {}),
    historySize: HISTORY_LINES_MAX,
    completer: (line: string) => shell.complete(line),
    prompt: "> ",
  });
  lines.on("SIGINT", () => {
    if (shell.interrupt()) return; // which says so, and prompts again
    const isEmpty = lines.line === "";
    lines.write(null, { ctrl: true, name: "e" }); // a line that was begun is given up
    lines.write(null, { ctrl: true, name: "u" });
    world.stdout.write(isEmpty ? "\n(.exit or Ctrl-D ends the shell)\n" : "\n");
    lines.prompt();
  });
  const end = (): void => {
    shell.interrupt();
    lines.close();
  };
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  if (isTerminal) world.stdout.write(`${session.target.title}. \`help\` tells what there is.\n`);
  if (isTerminal) lines.prompt();
  let code: number = EXIT_CODES.ok;
  let isOver = false;
  lines.on("close", () => (isOver = true));
  for await (const line of lines) {
    if (line.trim() === ".exit") break;
    history.add(line);
    const isGood = await shell.run(line.trim());
    // a script that fails in the middle has failed
    if (!isGood && !isTerminal) code = EXIT_CODES.failed;
    if (!isOver && isTerminal) lines.prompt();
  }
  lines.close();
  history.save();
  return code;
}

class Shell {
  readonly #session: Session;
  readonly #world: World;
  readonly #progress: Progress;
  readonly #results = new Map<string, Result>();
  readonly #names = new Set<string>();
  #running: AbortController | null = null;

  constructor(session: Session, world: World, progress: Progress) {
    this.#session = session;
    this.#world = world;
    this.#progress = progress;
  }

  /** Carries out a line; false when it failed, which was said. */
  async run(line: string): Promise<boolean> {
    if (line === "" || line.startsWith("#")) return true;
    this.#running = new AbortController();
    try {
      const help = /^\.?help(?:\s+(\S+))?$/.exec(line);
      if (help !== null) {
        this.#world.stdout.write(helpText(help[1]));
        return true;
      }
      const { expression, isJson, file } = lineParts(line);
      const stages = parseExpression(expression);
      const { signal } = this.#running;
      const result = await runExpression(this.#session, stages, signal, this.#results);
      this.#progress.clear();
      this.#keep(result);
      const isColored = wantsColor(this.#world.stdout, this.#world.environment);
      const text = isJson
        ? `${JSON.stringify(jsonOf(result), null, 2)}\n`
        : resultText(result, isColored && file === null);
      this.#world.stdout.write(file === null ? text : saved(file, text));
      return true;
    } catch (error) {
      this.#progress.clear();
      this.#world.stderr.write(`${messageOf(error)}\n`);
      return false;
    } finally {
      this.#running = null;
    }
  }

  /** Ends what runs; false when nothing does. */
  interrupt(): boolean {
    this.#running?.abort(new HoldfastError("ERR_HOLDFAST_INTERRUPTED", "Interrupted."));
    return this.#running !== null;
  }

  /** Verbs and filters at the beginning of a part, then flags, then names that were seen. */
  complete(line: string): [string[], string] {
    const part = line.split("|").at(-1) ?? "";
    const [, verb = "", word = ""] = /^\s*(\S*)(?:.*\s(\S*))?$/.exec(part) ?? [];
    const isFirst = !/^\s*\S+\s/.test(part);
    const typed = isFirst ? verb : word;
    const verbs = [
      ...AUTOPSY_VERBS.map(({ name }) => name),
      ...FILTERS.keys(),
      "json",
      "save",
      "help",
      ".exit",
    ];
    const flags = AUTOPSY_VERBS.find(({ name }) => name === verb)?.flags ?? [];
    const candidates = isFirst
      ? [...verbs, ...this.#results.keys()]
      : [...flags.map(({ name }) => `--${name}`), ...this.#names];
    return [candidates.filter((candidate) => candidate.startsWith(typed)), typed];
  }

  #keep(result: Result): void {
    const name = `$${this.#results.size === 0 ? 1 : this.#results.size}`;
    this.#results.set(name, result);
    this.#results.set("$_", result);
    if (result.kind !== "table") return;
    for (const row of result.rows) {
      for (const [index, { kind, name: column }] of result.columns.entries()) {
        const value = row[index];
        if (this.#names.size >= NAMES_COMPLETED_MAX) return;
        if (column === "class" && typeof value === "string") this.#names.add(value);
        if (kind === "address" && typeof value === "number")
          this.#names.add(`0x${value.toString(16)}`);
      }
    }
  }
}

interface LineParts {
  readonly expression: string;
  readonly isJson: boolean;
  /** Where to; null: to be shown. */
  readonly file: string | null;
}

/** Takes `| json` and `| save file` off the end of a line. */
function lineParts(line: string): LineParts {
  const save = /\|\s*save\s+(\S+)$/.exec(line);
  const rest = save === null ? line : line.slice(0, save.index).trimEnd();
  const json = /\|\s*json$/.exec(rest);
  const expression = json === null ? rest : rest.slice(0, json.index);
  return { expression, isJson: json !== null, file: save?.[1] ?? null };
}

/**
 * Writes a result to a file that does not exist yet; gives what to say of it.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE
 */
function saved(file: string, text: string): string {
  try {
    writeFileSync(file, text, { mode: 0o600, flag: "wx" }); // values of the process are in there
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException; // of node:fs, or it has no syscall
    if (syscall === undefined) throw error;
    if (syscall === "write") rmSync(file, { force: true }); // ours, and half of it
    const why = code === "EEXIST" ? "it exists already" : `${syscall} gives ${code}`;
    throw new HoldfastError("ERR_HOLDFAST_AUTOPSY_WRITE", `Cannot write ${file}: ${why}.`, {
      cause: error,
    });
  }
  return `${file}: ${formatSize(Buffer.byteLength(text))}\n`;
}

/**
 * What there is, or one verb in full.
 * @throws HoldfastError ERR_HOLDFAST_USAGE for a name that nothing has.
 */
export function helpText(name: string | undefined): string {
  const verb = AUTOPSY_VERBS.find((each) => each.name === name);
  if (verb !== undefined) {
    const flags = verb.flags.map((flag) => {
      const shown = `--${flag.name}${flag.placeholder === "" ? "" : ` ${flag.placeholder}`}`;
      return `  ${shown.padEnd(20)} ${flag.help}\n`;
    });
    const head = `${verb.name} ${verb.usage}`.trim();
    return `${head}\n  ${verb.summary}\n${flags.join("")}example: ${verb.example}\n`;
  }
  const filter = name === undefined ? undefined : FILTERS.get(name);
  if (name !== undefined && filter !== undefined) return `| ${filterText(name, filter)}\n`;
  if (name !== undefined) {
    const names = [...AUTOPSY_VERBS.map((each) => each.name), ...FILTERS.keys()];
    throw new HoldfastError(
      "ERR_HOLDFAST_USAGE",
      `Cannot tell of ${JSON.stringify(name)}: there is ${names.join(", ")}.` +
        didYouMean(name, names),
    );
  }
  const verbs = AUTOPSY_VERBS.map((each) => `  ${each.name.padEnd(10)} ${each.summary}`);
  const filters = [...FILTERS].map(([each, help]) => `  | ${filterText(each, help)}`);
  return [
    ...verbs,
    "",
    ...filters,
    "  | json: the result as data",
    "  | save <file>: the text, or behind `| json` the data; never over another file",
    "",
    "`help <verb>` tells of its flags. In the shell results are numbered: $1, $2, the last one $_;",
    "Ctrl-C ends a verb, .exit the shell; `| json` and `| save` are the shell's.",
    "",
  ].join("\n");
}

/** `head <n>: the first rows`, `count: how many rows there are`. */
function filterText(name: string, help: string): string {
  return help.startsWith("<") ? `${name} ${help}` : `${name}: ${help}`;
}

function messageOf(error: unknown): string {
  if (error instanceof HoldfastError) return error.message;
  throw error;
}

/** Lines that were typed, in the state directory, readable by their user only. */
class History {
  readonly lines: string[] = [];
  readonly #path: string;
  readonly #isKept: boolean;

  constructor(environment: Environment, isKept: boolean) {
    const state = environment["XDG_STATE_HOME"] ?? path.join(os.homedir(), ".local", "state");
    this.#path = path.join(state, "holdfast", "autopsy-history");
    this.#isKept = isKept;
    if (isKept && existsSync(this.#path)) {
      this.lines.push(
        ...readFileSync(this.#path, "utf8")
          .split("\n")
          .filter((line) => line !== ""),
      );
    }
  }

  add(line: string): void {
    if (line.trim() !== "" && this.lines[0] !== line) this.lines.unshift(line);
    this.lines.length = Math.min(this.lines.length, HISTORY_LINES_MAX);
  }

  /** A home that cannot be written to is no reason to fail: history is a convenience. */
  save(): void {
    if (!this.#isKept) return;
    try {
      mkdirSync(path.dirname(this.#path), { recursive: true, mode: 0o700 });
      writeFileSync(this.#path, `${this.lines.join("\n")}\n`, { mode: 0o600 });
      chmodSync(this.#path, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    }
  }
}
