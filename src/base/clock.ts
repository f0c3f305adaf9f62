/** Time that only goes forward. Wall clock is for people to read, never for a timeout. */

/** Milliseconds since some moment. What needs time takes a clock, so that a test can hold it. */
export type Clock = () => number;

/** The monotonic clock of this process (`clock_gettime(CLOCK_MONOTONIC)`), from its start on. */
export const monotonicNowMs: Clock = () => performance.now();
