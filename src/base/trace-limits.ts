/** Bounds of a trace that the reactor, which loads nothing of traces, has to know as well. */
/** Of a program. The longest of the ready ones has 600 bytes. */
export const PROGRAM_CHARS_MAX = 16_384;
/** A trace ends after this time unless `--for` says less. */
export const EXPIRY_MS = 3_600_000;
/**
 * The share of a worker's time that the clauses of one probe may take before it is disabled: a
 * count by route takes 2 to 3 % of a worker that does nothing but answer, 30,000 times a second.
 */
export const BUDGET_SHARE = 0.05;
