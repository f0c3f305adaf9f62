/**
 * Expressions of the shell: verbs and filters in a pipe.
 *
 * ```
 *   find Socket --limit 0 | print --depth 1
 *   objects | where count > 1000 | sort count | head 10
 *   $1            what the first expression has found; $_ the last
 * ```
 * A filter works on the rows of a table; a verb takes the objects that the stage before has found.
 */
import { HoldfastError } from "../../base/mod.ts";
import { addressesOf } from "./result.ts";
import type { CellValue, Result, TableResult } from "./result.ts";
import type { Session } from "./session.ts";
import type { AutopsyVerb, VerbArgs } from "./verb.ts";
import { autopsyVerb } from "./verbs.ts";

/** One part of a pipe. */
export interface Stage {
  readonly name: string;
  readonly words: readonly string[];
  readonly flags: Readonly<Record<string, string | true>>;
}

/** Filters and what they take. */
export const FILTERS: ReadonlyMap<string, string> = new Map([
  ["grep", "<text>: rows in which it is"],
  [
    "where",
    "<column> <op> <value>: rows for which that is true; =, !=, <, >, <=, >=, ~ (contains)",
  ],
  ["sort", "<column>: rows by that column, numbers from the largest"],
  ["head", "<n>: the first rows"],
  ["tail", "<n>: the last rows"],
  ["count", "how many rows there are"],
]);

const WORD = /"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s|"']+)|(\|)/gy;
const SPACE = /\s*/y;

function misuse(why: string): HoldfastError {
  return new HoldfastError("ERR_HOLDFAST_USAGE", `Cannot do that: ${why}. See \`help\`.`);
}

/**
 * Takes an expression apart.
 * @throws HoldfastError ERR_HOLDFAST_USAGE for a quote without end, an unknown verb or flag.
 */
export function parseExpression(text: string): readonly Stage[] {
  const parts: string[][] = [[]];
  for (let at = 0; ;) {
    SPACE.lastIndex = at;
    at += SPACE.exec(text)?.[0].length ?? 0;
    if (at >= text.length) break;
    WORD.lastIndex = at;
    const match = WORD.exec(text);
    if (match === null) throw misuse(`a quote at ${JSON.stringify(text.slice(at))} has no end`);
    const [whole, double, single, plain, pipe] = match;
    if (pipe === undefined) {
      parts.at(-1)?.push(double?.replaceAll(/\\(.)/g, "$1") ?? single ?? plain ?? "");
    } else parts.push([]);
    at += whole.length;
  }
  return parts.map((words) => stageOf(words));
}

function stageOf([name, ...rest]: readonly string[]): Stage {
  if (name === undefined) throw misuse("a part of the pipe is empty");
  if (name.startsWith("$")) return { name, words: rest, flags: {} };
  if (FILTERS.has(name)) return { name, words: rest, flags: {} };
  return { name, ...wordsAndFlags(autopsyVerb(name, [...FILTERS.keys()]), rest) };
}

/** Separates flags from words. @throws HoldfastError ERR_HOLDFAST_USAGE */
export function wordsAndFlags(
  verb: AutopsyVerb,
  rest: readonly string[],
): Pick<Stage, "words" | "flags"> {
  const words: string[] = [];
  const flags: Record<string, string | true> = {};
  for (let index = 0; index < rest.length; index += 1) {
    const word = rest[index] ?? "";
    if (!word.startsWith("--")) {
      words.push(word);
      continue;
    }
    const [flagName = "", inline] = word.slice(2).split(/=(.*)/s);
    const spec = verb.flags.find(({ name }) => name === flagName);
    if (spec === undefined && flagName === "json")
      throw misuse("--json stands behind the whole expression; in the shell it is `| json`");
    if (spec === undefined) {
      const known = verb.flags.map(({ name }) => `--${name}`).join(", ") || "no flag";
      throw misuse(`${verb.name} does not know --${flagName}; it has ${known}`);
    }
    if (spec.placeholder === "") flags[flagName] = true;
    else {
      const value = inline ?? rest[(index += 1)];
      if (value === undefined) throw misuse(`--${flagName} needs a value: ${spec.placeholder}`);
      flags[flagName] = value;
    }
  }
  if (words.includes("|")) throw misuse(`a pipe is one argument, in quotes: '${verb.name} | ...'`);
  const more = words[wordsMax(verb)];
  if (more !== undefined) {
    const text = JSON.stringify(more);
    throw misuse(
      `${verb.name} does not know what to do with ${text}; words that belong together are quoted`,
    );
  }
  return { words, flags };
}

/** As its usage has it: addresses or a file, one part of a name or text, or none. */
function wordsMax({ usage }: AutopsyVerb): number {
  if (/^(?:<address>|-o )/.test(usage)) return Number.POSITIVE_INFINITY;
  return /^\[(?!--)/.test(usage) ? 1 : 0;
}

/** Runs a pipe; `known`: results by `$1`, `$_`. */
export async function runExpression(
  session: Session,
  stages: readonly Stage[],
  signal: AbortSignal | undefined,
  known: ReadonlyMap<string, Result> = new Map(),
): Promise<Result> {
  let result: Result | null = null;
  for (const [index, stage] of stages.entries()) {
    result = await runStage(session, limited(stage, stages[index + 1]), result, signal, known);
  }
  if (result === null) throw misuse("there is nothing to do");
  return withDoubts(result, session.doubts);
}

/** The same, and why it may be wrong, as far as it does not say so itself. */
function withDoubts(result: Result, all: readonly string[]): Result {
  const isTold = (doubt: string): boolean =>
    result.kind === "table"
      ? result.remarks.includes(doubt) || result.rows.some((row) => row.includes(doubt))
      : result.text.includes(doubt);
  const doubts = all.filter((doubt) => !isTold(doubt));
  if (doubts.length === 0) return result;
  if (result.kind === "table") {
    return { ...result, remarks: [...result.remarks, ...doubts] };
  }
  const notes = doubts.map((doubt) => `note: ${doubt}\n`).join("");
  const { json } = result;
  const isRecord = typeof json === "object" && json !== null && !Array.isArray(json);
  const text = `${result.text.trimEnd()}\n${notes}`;
  return { ...result, text, json: isRecord ? { ...json, doubts } : json };
}

/** A filter is to see every row, not the first thirty; what is only counted need not be told. */
function limited(stage: Stage, next: Stage | undefined): Stage {
  if (next === undefined || !FILTERS.has(next.name) || next.name === "count") return stage;
  const isKnown = !stage.name.startsWith("$") && !FILTERS.has(stage.name);
  const takesLimit = isKnown && autopsyVerb(stage.name).flags.some(({ name }) => name === "limit");
  if (!takesLimit || stage.flags["limit"] !== undefined) return stage;
  const limit = next.name === "head" && Number(next.words[0]) > 0 ? (next.words[0] ?? "0") : "0";
  return { ...stage, flags: { ...stage.flags, limit } };
}

function runStage(
  session: Session,
  { name, words, flags }: Stage,
  before: Result | null,
  signal: AbortSignal | undefined,
  known: ReadonlyMap<string, Result>,
): Result | Promise<Result> {
  if (name.startsWith("$")) {
    const found = known.get(name);
    if (found === undefined) throw misuse(`there is no ${name}`);
    return found;
  }
  if (FILTERS.has(name)) {
    if (before === null) throw misuse(`${name} works on what comes through a pipe`);
    if (before.kind !== "table") return filterText(before, name, words);
    return filter(before, name, words);
  }
  const input = before === null ? [] : addressesOf(before);
  const args: VerbArgs = { words, flags, input, signal };
  session.describer.begin();
  return autopsyVerb(name).run(session, args);
}

function filterText(
  result: Extract<Result, { kind: "text" }>,
  name: string,
  words: readonly string[],
): Result {
  const lines = result.text.split("\n");
  const table: TableResult = {
    kind: "table",
    columns: [{ name: "line", kind: "text" }],
    rows: lines.map((line) => [line]),
    more: 0,
    remarks: [],
  };
  const filtered = filter(table, name, words);
  if (filtered.kind !== "table") return filtered;
  const text = filtered.rows.map(([line]) => line ?? "").join("\n");
  return { kind: "text", text, json: text.split("\n"), addresses: result.addresses };
}

function filter(table: TableResult, name: string, words: readonly string[]): Result {
  const { rows } = table;
  switch (name) {
    case "grep": {
      const text = words.join(" ").toLowerCase();
      const fits = (cell: CellValue): boolean =>
        String(cell ?? "")
          .toLowerCase()
          .includes(text);
      return { ...table, rows: rows.filter((row) => row.some(fits)) };
    }
    case "where":
      return { ...table, rows: rows.filter(condition(table, words)) };
    case "sort": {
      const index = columnOf(table, words[0]);
      return { ...table, rows: rows.toSorted((a, b) => compare(a[index], b[index])) };
    }
    case "head":
    case "tail": {
      const count = Number(words[0] ?? 10);
      if (!Number.isSafeInteger(count) || count < 0) throw misuse(`${name} takes a whole number`);
      const kept = name === "head" ? rows.slice(0, count) : rows.slice(-count);
      return { ...table, rows: kept, more: table.more + rows.length - kept.length };
    }
    default: {
      const count = rows.length + table.more;
      return { kind: "text", text: String(count), json: count, addresses: [] };
    }
  }
}

function columnOf({ columns }: TableResult, name: string | undefined): number {
  // in the head of a table they stand in capitals
  const index = columns.findIndex((column) => column.name === name?.toLowerCase());
  if (index >= 0) return index;
  throw misuse(
    `there is no column ${name ?? ""}; there is ${columns.map((column) => column.name).join(", ")}`,
  );
}

/** Numbers from the largest, texts from A. */
function compare(a: CellValue | undefined, b: CellValue | undefined): number {
  if (typeof a === "number" && typeof b === "number") return b - a;
  return String(a ?? "") < String(b ?? "") ? -1 : 1;
}

function condition(
  table: TableResult,
  [column, operator, ...rest]: readonly string[],
): (row: readonly CellValue[]) => boolean {
  const index = columnOf(table, column);
  const wanted = rest.join(" ");
  if (operator === undefined || rest.length === 0)
    throw misuse('where takes a column, =, !=, <, >, <=, >= or ~, and a value ("" for none)');
  const isNumeric = wanted !== "" && Number.isFinite(Number(wanted));
  return (row) => {
    const cell = row[index] ?? null;
    const text = String(cell ?? "");
    if (operator === "~") return text.includes(wanted);
    if (operator === "=") return isNumeric ? Number(cell) === Number(wanted) : text === wanted;
    if (operator === "!=") return isNumeric ? Number(cell) !== Number(wanted) : text !== wanted;
    const difference = isNumeric ? Number(cell) - Number(wanted) : text < wanted ? -1 : 1;
    if (operator === "<") return difference < 0;
    if (operator === ">") return difference > 0;
    if (operator === "<=") return difference <= 0;
    if (operator === ">=") return difference >= 0;
    throw misuse(`where knows =, !=, <, >, <=, >= and ~, not ${operator}`);
  };
}
