/** The door to the configuration: what it takes to load one is loaded when one is. */
import type { ResolvedConfig } from "./config-types.ts";
import type { Environment } from "./runtime-dir.ts";

/** What the command line says, not checked yet. */
export interface ConfigFlags {
  /** As typed; null: the configuration file says it. */
  readonly entry: string | null;
  /** Behind `--`; null: the configuration file says it. */
  readonly args: readonly string[] | null;
  /** Directory that relative paths of the command line start from, absolute. */
  readonly cwd: string;
  /** By flag, without `--`; `true` for a switch, every value for one that may be repeated. */
  readonly values: Readonly<Record<string, string | true | readonly string[]>>;
}

/**
 * The configuration as it is now: flags win over environment, environment over file. Reads every
 * file again each time, so a reload calls it once more.
 *
 * @throws HoldfastError ERR_HOLDFAST_CONFIG, ERR_HOLDFAST_CONFIG_FILE, ERR_HOLDFAST_ENTRY,
 *   ERR_HOLDFAST_ENV_FILE: the message names the place and what is allowed there.
 */
export async function loadConfig(
  flags: ConfigFlags,
  environment: Environment,
): Promise<ResolvedConfig> {
  const { resolveConfig } = await import("./config-load.ts");
  return resolveConfig(flags, environment);
}
