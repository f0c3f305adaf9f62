/** Starts the agent: a thread that watches this process's main thread (`src/agent`). */
import { Worker } from "node:worker_threads";
import { entryUrl } from "../base/mod.ts";
import { closeDescriptor, setCloseOnExec } from "../os/mod.ts";

/** What the keeper gives a worker for it: the agent's end of a stream socket. */
const AGENT_DESCRIPTOR = 6;
/** It holds a profile or a source map at most. */
const HEAP_LIMITS = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 4 } as const;

/**
 * Starts it, or closes its descriptor where the permission model allows no threads: the reactor
 * then knows that there is none.
 */
export function startAgent(): void {
  setCloseOnExec(AGENT_DESCRIPTOR);
  const main = entryUrl(import.meta.url, "../agent/main.ts");
  try {
    const thread = new Worker(main, {
      name: "holdfast agent",
      workerData: { descriptor: AGENT_DESCRIPTOR },
      // nothing of the application's: neither its flags and preloads nor its environment
      execArgv: [],
      env: {},
      stdin: false,
      stdout: true,
      stderr: true,
      trackUnmanagedFds: false,
      resourceLimits: HEAP_LIMITS,
    });
    // before unref, which a listener would undo; the closed socket tells the reactor
    thread.on("error", () => undefined);
    thread.unref();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_ACCESS_DENIED") throw error;
    closeDescriptor(AGENT_DESCRIPTOR);
  }
}
