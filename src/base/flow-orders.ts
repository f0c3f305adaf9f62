/** What a worker does about its work, in both modes. */
import type { ResolvedConfig } from "./config-types.ts";
import type { FlowOrders } from "./messages.ts";

/** What a pattern is matched with. */
export interface RequestLine {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
}

/** `GET /reports/*`: a method, if only that one is meant, and a path; `*` is any rest. */
function fits(pattern: string, method: string, path: string): boolean {
  const space = pattern.indexOf(" ");
  if (space >= 0 && pattern.slice(0, space) !== method) return false;
  const wanted = pattern.slice(space + 1);
  return wanted.endsWith("*") ? path.startsWith(wanted.slice(0, -1)) : path === wanted;
}

/** How long a request may take that does not say so, in milliseconds; null: any time. */
export function deadlineOf(
  { method = "GET", url = "/" }: RequestLine,
  { deadlineMs, deadlinesMs }: Pick<FlowOrders, "deadlineMs" | "deadlinesMs">,
): number | null {
  const end = url.indexOf("?");
  const path = end < 0 ? url : url.slice(0, end);
  for (const [pattern, ms] of Object.entries(deadlinesMs)) {
    if (fits(pattern, method, path)) return ms;
  }
  return deadlineMs > 0 ? deadlineMs : null;
}

/** Whether requests have a deadline that do not say so. */
export function hasDeadlines({ deadlineMs, deadlinesMs }: FlowOrders): boolean {
  return deadlineMs > 0 || Object.keys(deadlinesMs).length > 0;
}

/** Whether more than it can do is refused. */
export function isBounded({ gate }: Pick<FlowOrders, "gate">): boolean {
  return gate !== "off" && gate !== "observe";
}

/** When pipes that do not move are told of, and destroyed; null: they are not watched. */
export function pipeLimits({ pipeStallMs, pipeDestroyMs }: FlowOrders): {
  readonly stallMs: number;
  readonly destroyMs: number;
} | null {
  if (pipeStallMs === 0 && pipeDestroyMs === 0) return null;
  const stallMs = pipeStallMs > 0 ? pipeStallMs : pipeDestroyMs;
  return {
    stallMs,
    destroyMs: pipeDestroyMs > 0 ? Math.max(stallMs, pipeDestroyMs) : Number.POSITIVE_INFINITY,
  };
}

/** The orders that a configuration means. */
export function flowOrders(config: ResolvedConfig): FlowOrders {
  const { gate, deadlineMs, deadlinesMs, pipeStallMs, pipeDestroyMs } = config;
  return { gate, deadlineMs, deadlinesMs, pipeStallMs, pipeDestroyMs };
}
