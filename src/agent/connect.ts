/** Inspector sessions, where the permission model allows them. */
import type { Session } from "node:inspector";
import { workerData } from "node:worker_threads";

/**
 * Connects a session with the main thread.
 *
 * Where the application runs under `--permission` without `--allow-inspector` (which Node 22 has
 * not), Node makes nothing to connect to, and asserts that it is there: the process would end. Our
 * thread has flags of its own and cannot see that, so whoever starts it says so.
 *
 * @throws Error where the permission model allows no inspector
 */
export function connectToMain(session: Session): void {
  if (!mayInspect())
    throw new Error("the permission model allows no inspector (--allow-inspector)");
  session.connectToMainThread();
}

/** Whether it allows sessions; see above. */
export function mayInspect(): boolean {
  const { mayInspect: may = true } = (workerData ?? {}) as { mayInspect?: boolean }; // our own
  return may;
}
