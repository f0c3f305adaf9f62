/** Waiting for a condition, with a deadline. */

const POLL_INTERVAL_MS = 10;

/** A condition did not hold before its deadline. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Polls until `probe` returns something else than `undefined` or `false`; an error counts as
 * "not yet".
 * @throws DeadlineError when `deadlineMs` have passed; it says `what`, and the last error.
 */
export async function waitFor<T>(
  what: string,
  deadlineMs: number,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const endsAt = performance.now() + deadlineMs;
  let cause: unknown;
  while (performance.now() < endsAt) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      cause = error;
    }
    await delay(POLL_INTERVAL_MS);
  }
  const reason = cause instanceof Error ? ` (${cause.message})` : "";
  throw new DeadlineError(`not within ${deadlineMs} ms: ${what}${reason}`, { cause });
}
