/** `holdfast run`: checks the configuration, then becomes the keeper. */
import { loadConfig } from "../base/mod.ts";
import type { ConfigFlags } from "../base/mod.ts";
import type { Parsed, World } from "./verb.ts";

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const flags = configFlags(parsed, world.cwd);
  const config = await loadConfig(flags, world.environment);
  const { runKeeper } = await import("../keeper/mod.ts");
  return runKeeper(config, (environment) => loadConfig(flags, environment ?? world.environment));
}

/** The command line as the configuration wants it: the first positional is the entry. */
export function configFlags(parsed: Parsed, cwd: string): ConfigFlags {
  const [entry = null, ...args] = parsed.positionals;
  const hasArguments = args.length > 0 || parsed.hasTerminator;
  return { entry, args: hasArguments ? args : null, cwd, values: parsed.flags };
}
