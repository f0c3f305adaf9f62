/**
 * From flags, environment and file to one checked configuration.
 *
 * ```
 *   --workers 4         flags  ---check--+
 *   HOLDFAST_WORKERS=4  variables -check-+--merge--> entry, name, limits of the machine, env files
 *   holdfast.config.ts  file   ---check--+                          --> ResolvedConfig
 * ```
 * Each source is checked for itself, so that a message names the flag, the variable or the file.
 */
import { readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseEnv } from "node:util";
import { findEntry, serviceName } from "./config-entry.ts";
import { findConfigFile, readConfigFile } from "./config-file.ts";
import { DEFAULTS } from "./config-limits.ts";
import { CONFIG_OPTIONS, OTHER_VARIABLES, listSeparator, variableOf } from "./config-options.ts";
import type { ConfigOption } from "./config-options.ts";
import { checkConfig } from "./config-schema.ts";
import type { CheckedConfig } from "./config-schema.ts";
import type { ConfigFlags } from "./config.ts";
import type { ResolvedConfig } from "./config-types.ts";
import { HoldfastError } from "./errors.ts";
import { readCgroupLimits, usableCpuCount } from "./machine.ts";
import { nearestName } from "./nearest.ts";
import { SOCKET_PATH_BYTES_MAX, controlSocketPath, runtimeDirectory } from "./runtime-dir.ts";
import type { Environment } from "./runtime-dir.ts";
import { parseDuration, parseSize } from "./units.ts";

/** See `loadConfig`. */
export async function resolveConfig(
  flags: ConfigFlags,
  environment: Environment,
): Promise<ResolvedConfig> {
  refuseMistypedVariables(environment);
  const fromFlags = checkTexts(
    flags.values,
    (option) => option.flag,
    (option) => `--${option.flag}`,
  );
  const fromEnvironment = checkTexts(environment, variableOf, (option) => variableOf(option) ?? "");
  const file = locateFile(flags, environment);
  const fromFile = file === null ? {} : checkFile(file, await readConfigFile(file));
  const fileDirectory = file === null ? flags.cwd : path.dirname(file);

  const merged: CheckedConfig = {
    ...relativeTo(fileDirectory, fromFile),
    ...relativeTo(flags.cwd, fromEnvironment),
    ...relativeTo(flags.cwd, fromFlags),
  };
  const entry = findEntry(flags.entry, flags.cwd, merged.entry ?? null);
  const name = merged.name ?? serviceName(entry);
  const runtimeDir = runtimeDirectory(environment);
  refuseLongSocketPath(runtimeDir, name);
  return withDefaults(merged, {
    entry,
    args: flags.args ?? merged.args ?? [],
    cwd: flags.cwd,
    name,
    env: workerEnvironment(merged, environment),
    watch: watchedPaths(merged, entry),
    runtimeDir,
  });
}

type Located = Pick<
  ResolvedConfig,
  "entry" | "args" | "cwd" | "name" | "env" | "watch" | "runtimeDir"
>;

function withDefaults(config: CheckedConfig, located: Located): ResolvedConfig {
  const limits = readCgroupLimits();
  const workers = config.workers ?? "max";
  return {
    ...located,
    workers: workers === "max" ? usableCpuCount(os.availableParallelism(), limits) : workers,
    accept: config.accept ?? DEFAULTS.accept,
    replay: config.replay ?? DEFAULTS.replay,
    readyTimeoutMs: config.readyTimeout ?? parseDuration(DEFAULTS.readyTimeout),
    drainTimeoutMs: config.drainTimeout ?? parseDuration(DEFAULTS.drainTimeout),
    stallLimitMs: config.stallLimit ?? parseDuration(DEFAULTS.stallLimit),
    stallWarnMs: config.stallWarn ?? parseDuration(DEFAULTS.stallWarn),
    stallRescue: config.stallRescue ?? false,
    asyncOrigin: config.asyncOrigin ?? DEFAULTS.asyncOrigin,
    traceContext: config.traceContext ?? false,
    core: config.core ?? null,
    coreLimitBytes: config.coreLimit ?? parseSize(DEFAULTS.coreLimit),
    heapSnapshotNearHeapLimit: config.heapSnapshotNearHeapLimit ?? 0,
    gate: config.gate ?? DEFAULTS.gate,
    deadlineMs: config.deadline ?? 0,
    deadlinesMs: config.deadlines ?? {},
    pipeStallMs: config.pipeStall ?? 0,
    pipeDestroyMs: config.pipeDestroy ?? 0,
    memoryLimitBytes: config.memoryLimit ?? limits.memoryBytes ?? 0,
    journalLimitBytes: config.journalLimit ?? parseSize(DEFAULTS.journalLimit),
    nodeArgs: config.nodeArgs ?? [],
    admin: config.admin ?? null,
    otlp: config.otlp ?? null,
    portable: config.portable ?? process.platform !== "linux",
    json: config.json ?? false,
    restartIntensity: {
      restarts: config.restartIntensity?.restarts ?? DEFAULTS.restartIntensity.restarts,
      periodMs: config.restartIntensity?.period ?? parseDuration(DEFAULTS.restartIntensity.period),
    },
  };
}

/** Texts of the command line or the environment as the values that the schema knows. */
function checkTexts(
  texts: Readonly<Record<string, string | true | readonly string[] | undefined>>,
  nameOf: (option: ConfigOption) => string | null,
  shownAs: (option: ConfigOption) => string,
): CheckedConfig {
  const values: [string, unknown][] = [];
  for (const option of CONFIG_OPTIONS) {
    const name = nameOf(option);
    const text = name === null ? undefined : texts[name];
    if (text !== undefined && text !== "") values.push([option.key, valueOf(option, text)]);
  }
  const checked = checkConfig(Object.fromEntries(values));
  if (!isProblems(checked)) return checked;
  const lines = checked.map(({ key, message }) => {
    const option = CONFIG_OPTIONS.find((each) => each.key === key.split(".")[0]);
    return `${option === undefined ? key : shownAs(option)} ${message}`;
  });
  throw new HoldfastError(
    "ERR_HOLDFAST_CONFIG",
    `Cannot use the given options: ${lines.join("; ")}. See \`holdfast run --help\`.`,
  );
}

/** The value that the text stands for; a text that stands for none is the schema's to refuse. */
function valueOf(option: ConfigOption, text: string | true | readonly string[]): unknown {
  switch (option.kind) {
    case "number":
      return typeof text === "string" && /^\d{1,9}$/.test(text) ? Number(text) : text;
    case "switch":
      return switchOf(text);
    case "list":
      return typeof text === "string" ? split(text, listSeparator(option)) : text;
    case "watch":
      if (typeof text !== "string") return text;
      return switchOf(text) === text ? split(text, listSeparator(option)) : switchOf(text);
    case "text":
    case "none":
      return text;
  }
}

function switchOf(text: string | true | readonly string[]): unknown {
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  return text;
}

function split(text: string, separator: string): readonly string[] {
  return text.split(separator).filter((part) => part !== "");
}

function locateFile(flags: ConfigFlags, environment: Environment): string | null {
  const flag = flags.values["config"];
  const named = typeof flag === "string" ? flag : (environment["HOLDFAST_CONFIG"] ?? "");
  if (named !== "") return path.resolve(flags.cwd, named);
  const entryDirectory = flags.entry === null ? [] : [path.resolve(flags.cwd, flags.entry, "..")];
  return findConfigFile([flags.cwd, ...entryDirectory]);
}

function checkFile(file: string, value: unknown): CheckedConfig {
  const checked = checkConfig(value);
  if (!isProblems(checked)) return checked;
  const lines = checked.map(({ key, message }) => `${key === "" ? "it" : key} ${message}`);
  throw new HoldfastError(
    "ERR_HOLDFAST_CONFIG",
    `Cannot use the configuration ${file}: ${lines.join("; ")}. Correct it there.`,
  );
}

function isProblems<Problem>(value: object | readonly Problem[]): value is readonly Problem[] {
  return Array.isArray(value);
}

/** Paths made absolute, from the directory of whoever wrote them. */
function relativeTo(directory: string, config: CheckedConfig): CheckedConfig {
  const absolute = (file: string): string => path.resolve(directory, file);
  const { entry, envFile, watch, core } = config;
  return {
    ...config,
    ...(entry === undefined ? {} : { entry: absolute(entry) }),
    ...(envFile === undefined ? {} : { envFile: [envFile].flat().map(absolute) }),
    ...(core === undefined ? {} : { core: absolute(core) }),
    ...(Array.isArray(watch) ? { watch: watch.map(absolute) } : {}),
  };
}

function watchedPaths(config: CheckedConfig, entry: string): readonly string[] {
  if (config.watch === true) return [path.dirname(entry)];
  return Array.isArray(config.watch) ? config.watch : [];
}

/**
 * Env files in their order, then `env` of the configuration file; without what the environment
 * has already, as with `node --env-file`: whoever starts the service has the last word.
 */
function workerEnvironment(
  config: CheckedConfig,
  environment: Environment,
): Readonly<Record<string, string>> {
  const variables = new Map<string, string>();
  for (const file of [config.envFile ?? []].flat()) {
    for (const [name, value] of Object.entries(parseEnv(readEnvFile(file)))) {
      if (value !== undefined) variables.set(name, value);
    }
  }
  for (const [name, value] of Object.entries(config.env ?? {})) variables.set(name, value);
  return Object.fromEntries([...variables].filter(([name]) => environment[name] === undefined));
}

function readEnvFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new HoldfastError(
      "ERR_HOLDFAST_ENV_FILE",
      `Cannot read the env file ${file}: ${code}. Check the path, or remove it from --env-file, ` +
        `HOLDFAST_ENV_FILE or envFile.`,
      { cause: error },
    );
  }
}

/** A variable that is nearly an option's was meant to be it; others are not ours to judge. */
function refuseMistypedVariables(environment: Environment): void {
  const known = CONFIG_OPTIONS.map(variableOf).filter((name) => name !== null);
  const all = [...known, ...OTHER_VARIABLES];
  for (const name of Object.keys(environment)) {
    if (!name.startsWith("HOLDFAST_") || all.includes(name)) continue;
    const prefix = "HOLDFAST_".length;
    const nearest = nearestName(
      name.slice(prefix),
      all.map((each) => each.slice(prefix)),
    );
    if (nearest === null) continue;
    throw new HoldfastError(
      "ERR_HOLDFAST_CONFIG",
      `Cannot use the variable ${name}: it is not known. Did you mean HOLDFAST_${nearest}?`,
    );
  }
}

function refuseLongSocketPath(runtimeDir: string, name: string): void {
  const socketPath = controlSocketPath(runtimeDir, name);
  const bytes = Buffer.byteLength(socketPath);
  if (process.platform === "win32" || bytes <= SOCKET_PATH_BYTES_MAX) return;
  throw new HoldfastError(
    "ERR_HOLDFAST_CONFIG",
    `Cannot listen on the control socket ${socketPath}: its path has ${bytes} bytes, the system ` +
      `allows ${SOCKET_PATH_BYTES_MAX}. Set a shorter HOLDFAST_RUNTIME_DIR or --name.`,
  );
}
