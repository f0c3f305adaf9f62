/** `holdfast run`: checks the configuration, then becomes the keeper, or a portable one. */
import { loadConfig } from "../base/mod.ts";
import type { ConfigFlags, Environment, ResolvedConfig } from "../base/mod.ts";
import type { Parsed, World } from "./verb.ts";

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const flags = configFlags(parsed, world.cwd);
  const config = await loadConfig(flags, world.environment);
  const reread = (environment: Environment): Promise<ResolvedConfig> =>
    loadConfig(flags, environment);
  if (config.portable) {
    const { runPortable } = await import("../portable/mod.ts");
    const { LinkedAgents } = await import("./portable-agents.ts");
    return runPortable(config, reread, (log) => new LinkedAgents(config, log));
  }
  const { runKeeper } = await import("../keeper/mod.ts");
  return runKeeper(config, reread);
}

/** The command line as the configuration wants it: the first positional is the entry. */
export function configFlags(parsed: Parsed, cwd: string): ConfigFlags {
  const [entry = null, ...args] = parsed.positionals;
  const hasArguments = args.length > 0 || parsed.hasTerminator;
  return { entry, args: hasArguments ? args : null, cwd, values: parsed.flags };
}
