/**
 * A request that has arrived is not closed away.
 *
 * Node closes a connection on which nothing has come for `keepAliveTimeout`. A loop that is late
 * runs its timers before it reads, so the next request may lie in the kernel already, and would be
 * answered with a reset. Such a connection goes back to the reactor, and on to a worker that reads.
 */
import type { HttpSocket } from "./node-internals.ts";

/**
 * Whether an idle connection that is being closed here has timed out; else it is the application's
 * wish. Node counts from the begin of a turn of the loop, so it may be earlier by that.
 */
export function hasTimedOut({ server, timeout = 0 }: HttpSocket, idleMs: number): boolean {
  return server?.listening === true && timeout > 0 && 2 * idleMs >= timeout;
}
