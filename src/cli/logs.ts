/**
 * `holdfast logs`: what the service and its workers wrote. Asks the service; one that has ended is
 * read from the file that it left, so that the last words of a crash can be read.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { EXIT_CODES, HoldfastError, runtimeDirectory, wantsColor } from "../base/mod.ts";
import { stream } from "./control-client.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import { paint, printable } from "./table.ts";
import type { Parsed, World } from "./verb.ts";

const LINES_DEFAULT = 100;
/** The service's own bound for one request. */
const LINES_MAX = 10_000;

const SOURCE_COLORS: readonly number[] = [36, 35, 34, 32, 33];
const HOLDFAST_COLOR = 2;

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const lines = lineCount(parsed);
  const isColored = wantsColor(world.stdout, world.environment);
  const show = (record: unknown): void => {
    const isJson = parsed.flags["json"] === true;
    const line = isJson ? JSON.stringify(record) : renderRecord(record, isColored);
    if (line !== null) world.stdout.write(`${line}\n`);
  };
  for await (const record of await records(parsed, world, lines)) show(record);
  return EXIT_CODES.ok;
}

async function records(
  parsed: Parsed,
  world: World,
  lines: number,
): Promise<AsyncIterable<unknown> | Iterable<unknown>> {
  try {
    const service = await chosenService(parsed, world);
    const follow = parsed.flags["follow"] === true ? 1 : 0;
    return stream(service, "GET", `/v1/logs?lines=${lines}&follow=${follow}`);
  } catch (error) {
    const left = leftBehind(parsed, world, lines);
    const isGone = error instanceof HoldfastError && error.code === "ERR_HOLDFAST_NOT_RUNNING";
    if (!isGone || left === null) throw error;
    return left;
  }
}

/** The last records of a service that has ended; null when there is no file of that name. */
function leftBehind(parsed: Parsed, world: World, lines: number): readonly unknown[] | null {
  const name = parsed.flags["name"];
  if (typeof name !== "string" || parsed.flags["follow"] === true) return null;
  try {
    const file = path.join(runtimeDirectory(world.environment), `${path.basename(name)}.log`);
    const text = readFileSync(file, "utf8"); // At most the 8 MiB that the keeper writes.
    const whole = text.split("\n").filter((line) => line !== "");
    return lines === 0 ? [] : whole.slice(-lines).flatMap(parseLine);
  } catch {
    return null; // No such file: the error about the service that is not there says it better.
  }
}

function parseLine(line: string): readonly unknown[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return []; // The last line of a process that was killed.
  }
}

/** A record as `12:34:56.789 worker 0 | text`, or null when it is none. */
export function renderRecord(record: unknown, isColored: boolean): string | null {
  if (typeof record !== "object" || record === null) return null;
  const fields = { ...record } as Record<string, unknown>; // Members are checked below.
  const { time, source, worker, line, message } = fields;
  const text = line ?? message;
  if (typeof time !== "string" || typeof text !== "string") return null;
  const index = typeof worker === "number" ? worker : null;
  const who = index === null || source !== "worker" ? "holdfast" : `worker ${index}`;
  const color =
    who === "holdfast" ? HOLDFAST_COLOR : SOURCE_COLORS[(index ?? 0) % SOURCE_COLORS.length];
  const prefix = paint(
    { text: `${clockTime(time)} ${who.padEnd(8)} |`, color: color ?? null },
    isColored,
  );
  const own = who === "holdfast" ? text.replace(/^holdfast: /, "") : text; // It is said already.
  return `${prefix} ${printable(own)}`;
}

/** Local time of day of an ISO time, to the millisecond. */
function clockTime(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const two = (value: number): string => String(value).padStart(2, "0");
  const seconds = `${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  return `${two(date.getHours())}:${two(date.getMinutes())}:${seconds}`;
}

function lineCount(parsed: Parsed): number {
  const text = parsed.flags["lines"];
  if (text === undefined) return LINES_DEFAULT;
  if (typeof text === "string" && /^\d{1,6}$/.test(text) && Number(text) <= LINES_MAX) {
    return Number(text);
  }
  const allowed = `a number from 0 to ${LINES_MAX}`;
  throw usage({ name: "logs" }, `--lines is ${JSON.stringify(text)}, must be ${allowed}`);
}
