/**
 * Waiting for a condition with a deadline: the only kind of waiting that a test here does.
 * The machine may be slow and shared, so deadlines are generous; a condition that holds is
 * seen within one poll interval.
 */

/** How long a test waits for a condition before it fails, unless it says otherwise. */
export const DEADLINE_MS = 20_000;
const POLL_INTERVAL_MS = 15;

/** What `waitFor` polls: a value, or `undefined` or `false` while the condition does not hold. */
export type Probe<T> = () => T | undefined | false | Promise<T | undefined | false>;

/** A condition did not hold before its deadline. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/**
 * Polls until `probe` returns a value that is neither `undefined` nor `false`.
 * An error that the probe throws counts as "not yet", and is the cause of the failure.
 * @throws DeadlineError when `deadlineMs` have passed; it names `what` and shows `detail()`.
 */
export async function waitFor<T>(
  what: string,
  probe: Probe<T>,
  deadlineMs = DEADLINE_MS,
  detail: () => string = () => "",
): Promise<T> {
  const endsAt = performance.now() + deadlineMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > endsAt) {
      const reason = cause instanceof Error ? `; last error: ${cause.message}` : "";
      const message = `not within ${deadlineMs} ms: ${what}${reason}\n${detail()}`;
      throw new DeadlineError(message, { cause });
    }
    await tick();
  }
}

/** Waits for a promise with a deadline. @throws DeadlineError */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DeadlineError(`not within ${deadlineMs} ms: ${what}`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
}
