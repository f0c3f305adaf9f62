/** The keeper: the process that `holdfast run` becomes. */
import type { ResolvedConfig } from "../base/mod.ts";
import { Ledger } from "../ledger/mod.ts";
import { becomeSubreaper } from "../os/mod.ts";
import { Keeper } from "./keeper.ts";
import type { Reread } from "./keeper.ts";
import { descriptorLimit, ledgerShape } from "./ledger-shape.ts";
import { openRunFiles } from "./run-directory.ts";

export type { Reread } from "./keeper.ts";

/**
 * Runs a service in this process until it ends. Resolves with the exit code of the run (see
 * docs/exit-codes.md), when all output has been passed on; the caller ends the process then.
 *
 * @param reread reads the configuration again, for a reload
 * @throws HoldfastError ERR_HOLDFAST_RUNTIME_DIR when the runtime directory cannot be used;
 *   ERR_HOLDFAST_NAME_IN_USE when a service of that name runs
 */
export async function runKeeper(config: ResolvedConfig, reread: Reread): Promise<number> {
  const files = openRunFiles(config.runtimeDir, config.name);
  try {
    becomeSubreaper();
    const ledger = Ledger.create(ledgerShape(config.workers, descriptorLimit()));
    return await new Keeper(config, reread, files, ledger).run();
  } finally {
    files.release();
  }
}
