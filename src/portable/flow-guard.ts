/**
 * What `--gate`, `--deadline`, `--pipe-stall` and `--pipe-destroy` ask of a worker of portable
 * mode. Its accounts lie in its own memory.
 */
import http from "node:http";
import https from "node:https";
import type { Server } from "node:http";
import { deadlineOf, hasDeadlines, isBounded, pipeLimits } from "../base/mod.ts";
import type { FlowOrders } from "../base/mod.ts";
import { forwardDeadlines, guardOutbound, guardServer, watchdog } from "../flow/mod.ts";

/** Begins; what it gives is called with each server that is about to listen. */
export function guardWorker(orders: FlowOrders): (server: unknown) => void {
  const limits = pipeLimits(orders);
  if (limits !== null) watchdog(limits);
  const { gate } = orders;
  const bounds = isBounded(orders);
  if (!bounds && !hasDeadlines(orders)) return () => undefined;
  const mode = bounds ? "enforce" : "observe";
  forwardDeadlines();
  guardOutbound({ mode });
  const guarded = new WeakSet<Server>();
  return (server) => {
    if (!(server instanceof http.Server || server instanceof https.Server)) return;
    if (guarded.has(server)) return;
    guarded.add(server);
    guardServer(server, {
      mode,
      limit: typeof gate === "number" ? { kind: "fixed", max: gate } : { kind: "loop" },
      ...(hasDeadlines(orders) ? { deadlineMs: (request) => deadlineOf(request, orders) } : {}),
    });
  };
}
