/** Waiting in units: for a condition, with a deadline, never for a time. */
import { setImmediate as nextTurn } from "node:timers/promises";

const DEADLINE_MS = 20_000;

/** Lets the event loop turn until a condition holds. @throws Error when it does not in time. */
export async function waitUntil(what: string, condition: () => boolean): Promise<void> {
  const endsAt = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await nextTurn();
  }
}
