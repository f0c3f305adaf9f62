/**
 * Portable mode: `holdfast run` where the Linux kernel's means are not there, by node:cluster
 * alone. Loads nothing but Node's own modules: no FFI, no ledger.
 */
import type { ResolvedConfig } from "../base/mod.ts";
import type { SupervisorPorts } from "../supervision/mod.ts";
import type { PortableAgents } from "./agents.ts";
import { PortableKeeper } from "./portable-keeper.ts";
import type { Reread } from "./portable-keeper.ts";
import { openRunFiles } from "./run-files.ts";

export type { AgentStart, PortableAgents } from "./agents.ts";

/**
 * Runs a service in this process until it ends. Resolves with the exit code of the run (see
 * docs/exit-codes.md), when all output has been passed on; the caller ends the process then.
 *
 * @param reread reads the configuration again, for a reload
 * @param linkAgents who looks after the agents of the workers
 * @throws HoldfastError ERR_HOLDFAST_RUNTIME_DIR when the runtime directory cannot be used;
 *   ERR_HOLDFAST_NAME_IN_USE when a service of that name runs
 */
export async function runPortable(
  config: ResolvedConfig,
  reread: Reread,
  linkAgents: (log: SupervisorPorts["log"]) => PortableAgents,
): Promise<number> {
  const files = await openRunFiles(config.runtimeDir, config.name);
  try {
    return await new PortableKeeper(config, reread, files, linkAgents).run();
  } finally {
    files.release();
  }
}
