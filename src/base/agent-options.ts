/**
 * The agent's thread, wherever it is started. It is also told (`mayInspect`) whether the permission
 * model of the application allows an inspector: it has flags of its own, and cannot see that.
 */
import type { WorkerOptions } from "node:worker_threads";

export const AGENT_OPTIONS: Omit<WorkerOptions, "workerData"> = {
  name: "holdfast agent",
  // nothing of the application's: neither its flags and preloads nor its environment
  execArgv: [],
  env: {},
  stdin: false,
  stdout: true,
  stderr: true,
  trackUnmanagedFds: false,
  // it holds a profile or a source map at most; with 4 MB for the young it takes 1.6 MB more
  resourceLimits: { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 2 },
};
