/** What the programs of `bench/` share: processes, paths, waiting, tables, flags. */
export { choices, countFlag, UsageError } from "./flags.ts";
export { benchFolder, nodeBinary, repositoryFolder, NODE_VERSIONS } from "./paths.ts";
export type { NodeVersion } from "./paths.ts";
export { freePort } from "./ports.ts";
export {
  childrenOf,
  commandOf,
  cpuNanoseconds,
  familyOf,
  isAlive,
  kill,
  markedProcesses,
  processMemory,
  MARK_VARIABLE,
} from "./processes.ts";
export type { ProcessMemory } from "./processes.ts";
export { say, showProgress } from "./progress.ts";
export { run, Started } from "./start.ts";
export type { Finished, StartOptions } from "./start.ts";
export { formatTable } from "./table.ts";
export { delay, waitFor, DeadlineError } from "./wait.ts";
