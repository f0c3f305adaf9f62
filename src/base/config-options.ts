/**
 * The options of `holdfast run`, once: flags, environment variables, help and documentation are
 * made of this table, and the schema has the same keys.
 */
import type { Config } from "./config-input.ts";

export interface ConfigOption {
  readonly key: keyof Config;
  /** Without `--`; null: only in a file. */
  readonly flag: string | null;
  /** What stands behind the flag in help; null: nothing, the flag is a switch. */
  readonly placeholder: string | null;
  /** Text of a flag or variable becomes this kind of value. */
  readonly kind: "text" | "number" | "switch" | "list" | "watch" | "none";
  /** One line for `--help`. */
  readonly help: string;
}

export const CONFIG_OPTIONS: readonly ConfigOption[] = [
  option("entry", null, null, "none", "the file to run"),
  option("args", null, null, "none", "arguments for it, behind --"),
  option(
    "workers",
    "workers",
    "<n|max>",
    "number",
    "how many workers (default: one per usable CPU)",
  ),
  option("name", "name", "<name>", "text", "name of the service (default: from package.json)"),
  option("accept", "accept", "<who>", "text", "who accepts: reactor (default) or kernel"),
  option(
    "replay",
    "replay",
    "<which>",
    "text",
    "what is repeated: idempotent (default), safe, off",
  ),
  option(
    "readyTimeout",
    "ready-timeout",
    "<time>",
    "text",
    "how long a start may take (default 30s)",
  ),
  option(
    "drainTimeout",
    "drain-timeout",
    "<time>",
    "text",
    "how long an end may take (default 30s)",
  ),
  option(
    "stallLimit",
    "stall-limit",
    "<time>",
    "text",
    "longest block of a worker (default 5s, 0: off)",
  ),
  option(
    "stallWarn",
    "stall-warn",
    "<time>",
    "text",
    "when a block is logged (default 500ms, 0: off)",
  ),
  option(
    "stallRescue",
    "stall-rescue",
    null,
    "switch",
    "at the limit, first raise an exception in what blocks",
  ),
  option(
    "asyncOrigin",
    "async-origin",
    "adaptive|always|off",
    "text",
    "tell who set a timer that failed (default adaptive)",
  ),
  option(
    "traceContext",
    "trace-context",
    null,
    "switch",
    "pass on traceparent to outbound requests",
  ),
  option("core", "core", "<folder>", "text", "keep cores of workers that crash there"),
  option("coreLimit", "core-limit", "<size>", "text", "all of them together (default 2GiB)"),
  option(
    "heapSnapshotNearHeapLimit",
    "heapsnapshot-near-heap-limit",
    "<n>",
    "number",
    "heap snapshots before a heap is full (default 0)",
  ),
  option(
    "gate",
    "gate",
    "<which>",
    "number",
    "under overload: observe (default), auto, off, or a limit",
  ),
  option(
    "deadline",
    "deadline",
    "<time>",
    "text",
    "how long a request may take that does not say (0: any)",
  ),
  option("deadlines", null, null, "none", "the same by method and path"),
  option(
    "pipeStall",
    "pipe-stall",
    "<time>",
    "text",
    "log pipes that stand still for so long (default 0: off)",
  ),
  option(
    "pipeDestroy",
    "pipe-destroy",
    "<time>",
    "text",
    "destroy pipes that do for so long (default 0: off)",
  ),
  option(
    "memoryLimit",
    "memory-limit",
    "<size>",
    "text",
    "of the whole service (default: cgroup, 0: off)",
  ),
  option(
    "journalLimit",
    "journal-limit",
    "<size>",
    "text",
    "largest request to repeat (default 64KiB)",
  ),
  option("envFile", "env-file", "<path>", "list", "file of NAME=value lines; may be given again"),
  option("env", null, null, "none", "variables for the workers"),
  option("watch", "watch", "[=<path>]", "watch", "reload when a file changes; may be given again"),
  option(
    "admin",
    "admin",
    "<[host:]port>",
    "text",
    "serve metrics and health there (default: nowhere)",
  ),
  option("otlp", "otlp", "<url>", "text", "send latency histograms to an OpenTelemetry collector"),
  option("portable", "portable", null, "switch", "the mode of macOS and Windows, no retention"),
  option("json", "json", null, "switch", "log lines as JSON"),
  option("nodeArgs", "node-arg", "<option>", "list", "option for Node itself; may be given again"),
  option("restartIntensity", null, null, "none", "when to give up restarting a worker"),
];

/** Flags of `run` that are no keys of a file, because they say where that file is. */
export const CONFIG_FLAG = "config";

/** Variables that are not options, and those that Holdfast sets for its own processes. */
export const OTHER_VARIABLES: readonly string[] = ["HOLDFAST_CONFIG", "HOLDFAST_RUNTIME_DIR"];

/** The environment variable of an option, e.g. `HOLDFAST_READY_TIMEOUT`; null: it has none. */
export function variableOf(each: ConfigOption): string | null {
  const { flag } = each;
  return flag === null ? null : `HOLDFAST_${flag.replaceAll("-", "_").toUpperCase()}`;
}

/** What separates the items of a list in a variable: paths as in PATH, options by spaces. */
export function listSeparator(each: ConfigOption): string {
  if (each.key === "nodeArgs") return " ";
  return process.platform === "win32" ? ";" : ":";
}

function option(
  key: keyof Config,
  flag: string | null,
  placeholder: string | null,
  kind: ConfigOption["kind"],
  help: string,
): ConfigOption {
  return { key, flag, placeholder, kind, help };
}
