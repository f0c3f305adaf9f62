/** How long a request may take that does not say so itself: `deadline` and `deadlines`. */
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

/** In milliseconds; null: as long as it takes. */
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
