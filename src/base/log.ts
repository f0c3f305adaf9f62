/**
 * What Holdfast says about itself, and how that is written.
 *
 * ```
 *   human   holdfast: worker 1 is ready (pid 4711)
 *   json    {"time":"...","level":"info","source":"reactor","message":"...","pid":4711}
 * ```
 * An entry is one line whatever it contains: an application must not be able to write lines that
 * look like ours.
 */
export type LogLevel = "debug" | "info" | "warn" | "error";

const LOG_LEVELS: readonly string[] = ["debug", "info", "warn", "error"] satisfies LogLevel[];

export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

export interface LogEntry {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly level: LogLevel;
  /** Which process says it: `keeper`, `reactor`, `worker`, `cli`. */
  readonly source: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** The part of a stream that this needs. */
export interface TextOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

const RESET = "\u001B[0m";
const COLORS: Readonly<Record<LogLevel, string>> = {
  debug: "\u001B[2m",
  info: "",
  warn: "\u001B[33m",
  error: "\u001B[31m",
};

/** The entry as a line for people, without the line's end. */
export function renderHuman(entry: LogEntry, isColored = false): string {
  const fields = Object.entries(entry.fields).map(([name, value]) => `${name} ${value}`);
  const details = fields.length === 0 ? "" : ` (${fields.join(", ")})`;
  const label = entry.level === "warn" || entry.level === "error" ? `${entry.level}: ` : "";
  const text = oneLine(`holdfast: ${label}${entry.message}${details}`);
  const color = COLORS[entry.level];
  return isColored && color !== "" ? `${color}${text}${RESET}` : text;
}

/** The entry as a line of JSON, without the line's end. Fields cannot hide what every entry has. */
export function renderJson(entry: LogEntry): string {
  const { fields, ...rest } = entry;
  return JSON.stringify({ ...fields, ...rest });
}

/** A line of `renderJson` as an entry; null when it is anything else. */
export function parseLogEntry(line: string): LogEntry | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null; // Not JSON: not ours.
  }
  if (typeof value !== "object" || value === null) return null;
  const object = value as Record<string, unknown>; // It is an object, and its members are checked.
  const { time, level, source = "reactor", message, ...rest } = object;
  if (typeof time !== "string" || typeof message !== "string" || typeof source !== "string") {
    return null;
  }
  if (!isLogLevel(level)) return null;
  const fields = Object.entries(rest).map(([name, field]) => [name, scalar(field)] as const);
  return { time, level, source, message, fields: Object.fromEntries(fields) };
}

/** Writes entries to a stream in one of the two forms. */
export class Logger {
  readonly #source: string;
  readonly #output: TextOutput;
  readonly #isJson: boolean;
  readonly #isColored: boolean;
  readonly #now: () => Date;

  constructor(options: {
    readonly source: string;
    readonly output: TextOutput;
    readonly json: boolean;
    readonly environment?: Readonly<Record<string, string | undefined>>;
    readonly now?: () => Date;
  }) {
    this.#source = options.source;
    this.#output = options.output;
    this.#isJson = options.json;
    this.#isColored = wantsColor(options.output, options.environment ?? process.env);
    this.#now = options.now ?? (() => new Date());
  }

  debug(message: string, fields: LogFields = {}): void {
    this.log("debug", message, fields);
  }

  info(message: string, fields: LogFields = {}): void {
    this.log("info", message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.log("warn", message, fields);
  }

  error(message: string, fields: LogFields = {}): void {
    this.log("error", message, fields);
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    const time = this.#now().toISOString();
    this.write({ time, level, source: this.#source, message, fields });
  }

  /** Writes an entry of another process as it is. */
  write(entry: LogEntry): void {
    const line = this.#isJson ? renderJson(entry) : renderHuman(entry, this.#isColored);
    this.#output.write(`${line}\n`);
  }
}

/** Colours are for terminals, and not where NO_COLOR is set (no-color.org) or TERM is dumb. */
export function wantsColor(
  output: TextOutput,
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  if ((environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb") return false;
  return output.isTTY === true;
}

/** The text with control characters written as escapes, so that it is one line and nothing else. */
export function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what it is about
  return text.replace(/[\u0000-\u001F\u007F-\u009F]/g, (character) => {
    if (character < " ") return JSON.stringify(character).slice(1, -1);
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`; // JSON leaves those
  });
}

function isLogLevel(level: unknown): level is LogLevel {
  return typeof level === "string" && LOG_LEVELS.includes(level);
}

function scalar(value: unknown): string | number | boolean | null {
  const isScalar =
    value === null ||
    typeof value === "string" ||
    typeof value === "number" ||
    typeof value === "boolean";
  return isScalar ? value : JSON.stringify(value);
}
