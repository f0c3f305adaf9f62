/**
 * The schema of the configuration. Loads valibot, so it is imported only by what loads a
 * configuration: neither the reactor nor a worker pays for it.
 */
import * as v from "valibot";
import type { Config } from "./config-input.ts";
import {
  DURATION_MS_MAX,
  JOURNAL_BYTES_MAX,
  CORE_LIMIT_BYTES_MIN,
  MEMORY_LIMIT_BYTES_MIN,
  NEAR_LIMIT_SNAPSHOTS_MAX as SNAPSHOTS,
  WORKERS_MAX,
} from "./config-limits.ts";
import { CONFIG_OPTIONS } from "./config-options.ts";
import { HoldfastError } from "./errors.ts";
import { didYouMean } from "./nearest.ts";
import { NAME_PATTERN } from "./runtime-dir.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

const text = v.pipe(
  v.string("a text"),
  v.nonEmpty("a text that is not empty"),
  v.check((value) => !value.includes("\0"), "a text without NUL"),
);
const texts = v.array(
  v.pipe(
    v.string("a text"),
    v.check((value) => !value.includes("\0"), "no NUL"),
  ),
);
const flag = v.boolean("true or false");

const workersText = `a whole number from 1 to ${WORKERS_MAX}, or "max"`;

function isWorkers(value: unknown): boolean {
  if (value === "max") return true;
  return Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= WORKERS_MAX;
}

const gateText = `"observe", "auto", "off", or a whole number from 1 to 100000`;

function isGate(value: unknown): boolean {
  if (typeof value === "string") return ["observe", "auto", "off"].includes(value);
  return Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= 100_000;
}

const deadlinesText = `paths with a time each, such as { "GET /reports/*": "10s" }`;

/** Milliseconds. */
function duration(minMs: number): v.GenericSchema<string | number, number> {
  const least = minMs === 0 ? "0 or more" : `${formatDuration(minMs)} or more`;
  const allowed = `a duration such as "500ms", "5s" or "2m", ${least}, at most 7d`;
  return quantity(parseDuration, (ms) => ms >= minMs && ms <= DURATION_MS_MAX, allowed);
}

/** Bytes. */
function size(
  isAllowed: (bytes: number) => boolean,
  limits: string,
): v.GenericSchema<string | number, number> {
  return quantity(parseSize, isAllowed, `a size such as "64KiB" or "512MB", ${limits}`);
}

function quantity(
  parse: (text: string) => number,
  isAllowed: (value: number) => boolean,
  allowed: string,
): v.GenericSchema<string | number, number> {
  return v.pipe(
    v.union([v.string(), v.literal(0)], allowed),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const value = tryParse(parse, String(dataset.value));
      if (value !== null && isAllowed(value)) return value;
      addIssue({ message: allowed });
      return NEVER;
    }),
  );
}

function tryParse(parse: (text: string) => number, value: string): number | null {
  try {
    return parse(value);
  } catch (error) {
    if (error instanceof HoldfastError) return null;
    throw error;
  }
}

/** `9090`, `"0.0.0.0:9090"`, `"[::1]:9090"`. */
const ADMIN = /^(?:(\[[\da-f:.]+\]|[A-Za-z\d.-]+):)?(\d{1,5})$/;
const adminText = `a port, or "<address>:<port>"`;
const adminAddress = v.pipe(
  v.union([v.string(), v.number()], adminText),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const [, host = "127.0.0.1", port = ""] = ADMIN.exec(String(dataset.value)) ?? [];
    if (port !== "" && Number(port) <= 65_535) {
      return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
    }
    addIssue({ message: adminText });
    return NEVER;
  }),
);

const otlpText = `an http: or https: URL, as "http://127.0.0.1:4318"`;
const otlpUrl = v.pipe(
  v.string(otlpText),
  v.check((value) => {
    const url = URL.canParse(value) ? new URL(value) : null;
    return url !== null && ["http:", "https:"].includes(url.protocol);
  }, otlpText),
);

const schema = v.strictObject({
  entry: v.optional(text),
  args: v.optional(texts),
  workers: v.optional(v.custom<number | "max">(isWorkers, workersText)),
  name: v.optional(
    v.pipe(
      v.string("a text"),
      v.regex(NAME_PATTERN, "1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"),
    ),
  ),
  accept: v.optional(v.picklist(["reactor", "kernel"], `"reactor" or "kernel"`)),
  replay: v.optional(v.picklist(["safe", "idempotent", "off"], `"safe", "idempotent" or "off"`)),
  readyTimeout: v.optional(duration(1)),
  drainTimeout: v.optional(duration(0)),
  stallLimit: v.optional(duration(0)),
  stallWarn: v.optional(duration(0)),
  stallRescue: v.optional(flag),
  asyncOrigin: v.optional(
    v.picklist(["adaptive", "always", "off"], `"adaptive", "always" or "off"`),
  ),
  traceContext: v.optional(flag),
  core: v.optional(text),
  coreLimit: v.optional(
    size((bytes) => bytes >= CORE_LIMIT_BYTES_MIN, `at least ${formatSize(CORE_LIMIT_BYTES_MIN)}`),
  ),
  heapSnapshotNearHeapLimit: v.optional(
    v.custom<number>(
      (value) => Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= SNAPSHOTS,
      `a whole number from 0 to ${SNAPSHOTS}`,
    ),
  ),
  gate: v.optional(v.custom<"observe" | "auto" | "off" | number>(isGate, gateText)),
  deadline: v.optional(duration(0)),
  deadlines: v.optional(
    v.record(
      v.pipe(v.string(), v.regex(/^(?:[A-Z]+ )?\/[^\s*]*\*?$/, deadlinesText)),
      duration(1),
      deadlinesText,
    ),
  ),
  pipeStall: v.optional(duration(0)),
  pipeDestroy: v.optional(duration(0)),
  memoryLimit: v.optional(
    size(
      (bytes) => bytes === 0 || bytes >= MEMORY_LIMIT_BYTES_MIN,
      `0 or at least ${formatSize(MEMORY_LIMIT_BYTES_MIN)}`,
    ),
  ),
  journalLimit: v.optional(
    size((bytes) => bytes <= JOURNAL_BYTES_MAX, `at most ${formatSize(JOURNAL_BYTES_MAX)}`),
  ),
  envFile: v.optional(v.union([text, v.array(text)], "a path or a list of paths")),
  env: v.optional(
    v.record(
      v.pipe(v.string(), v.regex(/^[^=\0]+$/, "names without '=' and NUL")),
      v.pipe(
        v.string("a text, in quotes"),
        v.check((value) => !value.includes("\0"), "a text without NUL"),
      ),
      "an object of NAME: text",
    ),
  ),
  watch: v.optional(v.union([flag, v.array(text)], "true, false or a list of paths")),
  admin: v.optional(adminAddress),
  otlp: v.optional(otlpUrl),
  portable: v.optional(flag),
  json: v.optional(flag),
  nodeArgs: v.optional(
    v.array(
      v.pipe(v.string("a text"), v.startsWith("-", "an option of Node, which starts with '-'")),
      "a list of options",
    ),
  ),
  restartIntensity: v.optional(
    v.strictObject(
      {
        restarts: v.pipe(
          v.number("a whole number"),
          v.integer("a whole number"),
          v.minValue(0, "0 or more"),
          v.maxValue(10_000, "at most 10000"),
        ),
        period: duration(1),
      },
      `an object such as { restarts: 10, period: "60s" }`,
    ),
  ),
});

/** Checked; durations are milliseconds, sizes bytes. */
export type CheckedConfig = v.InferOutput<typeof schema>;

/** The compiler complains here when the type for users and the schema drift apart. */
type Accepts<Wide, _Narrow extends Wide> = true;
export type SchemaKeysAreDocumented = Accepts<keyof Config, keyof CheckedConfig>;
export type DocumentedKeysAreChecked = Accepts<keyof CheckedConfig, keyof Config>;

/** One thing that is wrong: where, what is there, what is allowed. */
export interface ConfigProblem {
  /** `workers`, `restartIntensity.period`, `envFile.0`. */
  readonly key: string;
  readonly message: string;
}

/** The value as a configuration, or everything that is wrong with it. */
export function checkConfig(value: unknown): CheckedConfig | readonly ConfigProblem[] {
  // To the schema library a list is an object as well.
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [{ key: "", message: `must be an object, is ${show(value)}` }];
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  return result.issues.map((issue) => problem(issue));
}

function problem(issue: v.BaseIssue<unknown>): ConfigProblem {
  const key = v.getDotPath(issue) ?? "";
  if (issue.type === "strict_object" && issue.expected === "never") {
    const known = knownKeys(key);
    const name = key.split(".").at(-1) ?? "";
    return { key, message: `is not known.${didYouMean(name, known)} Allowed: ${known.join(", ")}` };
  }
  return { key, message: `is ${show(issue.input)}, must be ${issue.message}` };
}

function knownKeys(key: string): readonly string[] {
  if (key.startsWith("restartIntensity.")) return ["restarts", "period"];
  return CONFIG_OPTIONS.map((option) => option.key);
}

/** A value as a reader of the file knows it, cut to a line. */
function show(value: unknown): string {
  if (value === undefined) return "missing";
  const whole = JSON.stringify(value) ?? typeof value;
  return whole.length > 60 ? `${whole.slice(0, 57)}...` : whole;
}
