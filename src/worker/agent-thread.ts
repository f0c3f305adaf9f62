/** Starts the agent: a thread that watches this process's main thread (`src/agent`). */
import { Worker } from "node:worker_threads";
import { AGENT_OPTIONS, entryUrl } from "../base/mod.ts";
import { closeDescriptor, setCloseOnExec } from "../os/mod.ts";

/** What the keeper gives a worker for it: the agent's end of a stream socket. */
const AGENT_DESCRIPTOR = 6;

/** Not under the permission model, unless it says so; @types/node knows it as always there. */
function mayInspect(): boolean {
  const { permission } = process as { permission?: { has(scope: string): boolean } };
  return permission?.has("inspector") ?? true;
}

/**
 * Starts it, or closes its descriptor where the permission model allows no threads: the reactor
 * then knows that there is none.
 */
export function startAgent(): void {
  setCloseOnExec(AGENT_DESCRIPTOR);
  const main = entryUrl(import.meta.url, "../agent/main.ts");
  try {
    const thread = new Worker(main, {
      ...AGENT_OPTIONS,
      workerData: { descriptor: AGENT_DESCRIPTOR, mayInspect: mayInspect() },
    });
    // before unref, which a listener would undo; the closed socket tells the reactor
    thread.on("error", () => undefined);
    thread.unref();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_ACCESS_DENIED") throw error;
    closeDescriptor(AGENT_DESCRIPTOR);
  }
}
