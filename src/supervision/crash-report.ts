/**
 * What is left of a worker that has died: everything that the survivors know of its end, in one
 * report. Put together here from facts; who gathers them is the reactor, or the primary of portable
 * mode.
 *
 * ```
 *   supervisor: exit, state, restarts --+
 *   ledger: requests, heap, GC ---------+--> CrashReport --> <id>.json, <id>.txt
 *   recovery: what became of them ------+
 *   log file: last lines ---------------+
 * ```
 */
import { MASK, isSecretName, maskTarget } from "../base/mod.ts";
import type { ExitInfo, WorkerIdentity } from "../base/mod.ts";
import type { LifeState } from "./worker-life.ts";
import type { WorkItem } from "./work-report.ts";

/** Raised when a member changes its meaning; new members do not raise it. */
export const CRASH_WORK_MAX = 100;
export const CRASH_REPORT_VERSION = 1;
/** Requests that are shown, the oldest first; the others are counted. */
export const CRASH_REQUESTS_MAX = 50;
/** Of one head; Node itself refuses more than 16 KiB. */
const HEAD_CHARACTERS_MAX = 4096;
const TARGET_CHARACTERS_MAX = 500;

/** How a worker ended, as the supervisor tells it. */
export interface WorkerDeath extends WorkerIdentity {
  readonly pid: number;
  /** In which state of its life it ended; see `worker-life.ts`. */
  readonly state: LifeState;
  readonly exit: ExitInfo;
  /** In words: `exit 1`, `SIGKILL, stalled`. */
  readonly text: string;
  /** Why Holdfast itself ended it; null: it did not. */
  readonly cause: string | null;
  /** It was the first one, and had never been ready: the run ends with it. */
  readonly isFirst: boolean;
  /** How long it had been ready. */
  readonly readyForMs: number;
  /** Restarts of its place before. */
  readonly restarts: number;
  /** What it wrote last. */
  readonly output: string;
}

/** A request that was in flight. */
export interface CrashRequest {
  readonly method: string;
  /** The target, with secrets masked. */
  readonly path: string;
  /** What it is counted under, `GET /orders/:id`; missing: an older version wrote this. */
  readonly route?: string;
  readonly ageMs: number;
  /** Lines of the head as far as it was read, values of secret fields masked. */
  readonly head: readonly string[];
  /** From the head's `traceparent`: 32 hexadecimal digits, or null. */
  readonly traceId: string | null;
  /** Its bytes were being acted on at the end. */
  readonly isExecuting: boolean;
  /** What became of it: `replayed`, `refused with 503: ...`. */
  readonly outcome: string;
}

/** The worker at one time, looked at from outside. */
export interface CrashSample {
  /** Before the report. */
  readonly agoMs: number;
  /** The longest since the sample before. */
  readonly loopLagMs: number;
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  readonly rssBytes: number;
  readonly cpuPercent: number;
  /** Time in garbage collection since the sample before. */
  readonly gcMs: number;
  readonly inFlight: number;
  /** Requests begun since the sample before. */
  readonly requests: number;
}

/** What was known of the worker besides its exit. Empty where the mode does not tell. */
export interface CrashEvidence {
  readonly startedAt: string | null;
  readonly heapLimitBytes: number;
  readonly connections: {
    readonly busy: number;
    readonly idle: number;
    readonly opaque: number;
  } | null;
  readonly requests: readonly CrashRequest[];
  /** What else it was doing, by its accounts; oldest first, at most CRASH_WORK_MAX. */
  readonly work: readonly WorkItem[];
  /** JavaScript stack of its main thread when it last stalled; empty: it never did. */
  readonly stack: readonly string[];
  /** What became of its connections; null: the mode keeps none. */
  readonly recovery: Readonly<Record<string, number>> | null;
  /** Oldest first. */
  readonly history: readonly CrashSample[];
  /** Where its memory is, or why it is not; null: nobody asked for it (`--core`). */
  readonly core: { readonly path: string } | { readonly none: string } | null;
}

export interface CrashLogLine {
  readonly time: string;
  readonly source: string;
  readonly line: string;
}

export interface CrashService {
  readonly name: string;
  readonly version: string;
  readonly mode: "full" | "portable";
  readonly entry: string;
  readonly node: string;
}

/** The file `<id>.json`. */
export interface CrashReport extends CrashEvidence {
  readonly reportVersion: typeof CRASH_REPORT_VERSION;
  /** Also the name of its files: time, worker, pid. */
  readonly id: string;
  readonly time: string;
  readonly service: CrashService;
  readonly worker: {
    readonly index: number;
    readonly id: number;
    readonly pid: number;
    readonly generation: number;
    readonly readyForMs: number;
    readonly restarts: number;
    readonly state: LifeState;
  };
  readonly exit: ExitInfo & { readonly text: string; readonly cause: string | null };
  /**
   * The error that nobody caught, as the worker printed it; where it has ended itself, the last one
   * that it printed (see `isUncaught`). Null: there is none, or somebody else has ended it.
   */
  readonly error: string | null;
  /** The last 4 KiB of its output. */
  readonly output: string;
  /** Those that it wrote before its heap was full; missing: an older version wrote this. */
  readonly heapSnapshots?: readonly string[];
  /** Requests in flight that are not shown. */
  readonly requestsMore: number;
  /** The last lines of the service's log, those of other workers included. */
  readonly log: readonly CrashLogLine[];
}

/**
 * Whether an end is one to report. Not: one that was asked for, a script that ended by itself, and
 * the first start of a service that fails with an exit code (it has said why, and the run ends).
 */
export function isCrash({ state, exit, cause, isFirst }: WorkerDeath): boolean {
  if (cause === "stalled" || cause?.startsWith("was not ready") === true) return true;
  if (state === "stopping" || state === "killing" || state === "cancelled") return false;
  if (exit.signal !== null) return true;
  return exit.code !== null && exit.code !== 0 && !isFirst;
}

/** The report of a death. `log` are the last lines of the service's log. */
export function crashReport(
  death: WorkerDeath,
  evidence: CrashEvidence,
  service: CrashService,
  log: readonly CrashLogLine[],
  time: string,
): CrashReport {
  const { index, id, pid, generation, readyForMs, restarts, state, exit, text, cause } = death;
  const stamp = time.replaceAll(/[-:]|\.\d+/g, "");
  return {
    reportVersion: CRASH_REPORT_VERSION,
    id: `${stamp}-w${index}-${pid}`,
    time,
    service,
    worker: { index, id, pid, generation, readyForMs: Math.round(readyForMs), restarts, state },
    exit: { ...exit, text, cause },
    error: errorOf(death),
    output: death.output,
    ...evidence,
    requests: evidence.requests.slice(0, CRASH_REQUESTS_MAX),
    requestsMore: Math.max(0, evidence.requests.length - CRASH_REQUESTS_MAX),
    log,
  };
}

/** A worker that was killed may have printed an error an hour ago, which is not why it ended. */
function errorOf({ exit, output }: Pick<WorkerDeath, "exit" | "output">): string | null {
  if (exit.signal === null) return uncaughtError(output);
  return isUncaught(output) && exit.signal !== "SIGKILL" ? uncaughtError(output) : null;
}

/**
 * Whether Node or V8 has said that it ends for an error: by its version, the last line of the
 * report of one that nobody caught (src/node_errors.cc), by V8's last words, or by those of
 * `--abort-on-uncaught-exception`.
 */
export function isUncaught(output: string): boolean {
  return /^(Node\.js v\d+\.|FATAL ERROR|# Fatal error|Uncaught:$)/m.test(output);
}

/**
 * The error at the end of what a Node process printed: the last line that begins like one, with its
 * message and stack. V8's own last words count too.
 */
export function uncaughtError(output: string): string | null {
  const lines = output.split("\n");
  const fatal = lines.findLastIndex((line) => /^(FATAL ERROR|# Fatal error)/.test(line));
  if (fatal >= 0) return (lines[fatal] ?? "").trim();
  const firstFrame = lines.findLastIndex((line, index) => {
    return /^ {4}at /.test(line) && !/^ {4}at /.test(lines[index - 1] ?? "");
  });
  const head = lines.findLastIndex((line, index) => {
    return (firstFrame < 0 || index < firstFrame) && ERROR_LINE.test(line);
  });
  if (head < 0) return null;
  if (firstFrame < 0) return (lines[head] ?? "").trim();
  let end = firstFrame;
  while (/^ {4}at /.test(lines[end] ?? "")) end += 1;
  return lines.slice(head, end).join("\n");
}

/** As `util.inspect` and the fatal exception handler print one (src/node_errors.cc). */
const ERROR_LINE = /^(Uncaught )?(\[?[A-Za-z_$][\w$.]*(Error|Exception)\b|Error\b|node:internal)/;

/** What the bytes of a request show of it, without its secrets. */
export function requestFacts(
  bytes: Buffer,
): Pick<CrashRequest, "method" | "path" | "head" | "traceId"> {
  const blank = bytes.indexOf("\r\n\r\n", 0, "latin1");
  const end = Math.min(blank < 0 ? bytes.length : blank, HEAD_CHARACTERS_MAX);
  const [requestLine = "", ...fields] = bytes.toString("latin1", 0, end).split("\r\n");
  // a body past the journal's limit: the head is gone, the age is not
  const [, method = "?", target = "?", version = ""] =
    /^([A-Z-]{1,32}) (\S+)( HTTP\/1\.[01])?$/.exec(requestLine) ?? [];
  const path = maskTarget(target).slice(0, TARGET_CHARACTERS_MAX);
  if (method === "?") return { method, path, head: [], traceId: null };
  const head = [`${method} ${path}${version}`, ...fields.map((line) => maskField(line))];
  return { method, path, head, traceId: traceIdOf(fields) };
}

function maskField(line: string): string {
  const colon = line.indexOf(":");
  if (colon <= 0) return MASK; // no field of HTTP's: nobody knows what it is
  const name = line.slice(0, colon);
  if (isSecretName(name)) return `${name}: ${MASK}`;
  return /^(referer|origin|location)$/i.test(name) ? maskTarget(line) : line;
}

/** W3C trace context, level 1, section 3.2.2. */
function traceIdOf(fields: readonly string[]): string | null {
  const line = fields.find((field) => /^traceparent:/i.test(field)) ?? "";
  const id = /^[^:]+:\s*[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}/.exec(line)?.[1] ?? null;
  return id === "0".repeat(32) ? null : id;
}
