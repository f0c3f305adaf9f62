/** Every bound of a trace in one place: what a program may be, and what it may use in a worker. */

export const CLAUSES_MAX = 100;
export const STATEMENTS_MAX = 400;
/** Operators, operands and calls of the whole program: what one firing may cost. */
export const NODES_MAX = 2000;
/** Of brackets and operators in each other: parser and compiler go down as deep as that. */
export const DEPTH_MAX = 50;
export const KEYS_PER_TUPLE_MAX = 8;
/** What a fixed number of steps may make of memory: DTrace allows 65,535, nobody reads them. */
export const STEPS_MAX = 1000;

/** Of each string that a program makes or keeps. A stack is longer than a word. */
export const STRING_CHARS_MAX = 200;
export const STACK_CHARS_MAX = 2000;
export const STACK_FRAMES_MAX = 32;
/** How far a program looks up a prototype chain for a member. */
export const PROTOTYPES_MAX = 8;

/** Keys of one aggregation in one worker; more are dropped and counted. */
export const KEYS_MAX = 1000;
/** Of all keys in one worker: a thousand stacks fit. */
export const KEY_CHARS_MAX: number = 2 * 1024 * 1024;
/** Keys of one aggregation after the merge of all workers. */
export const MERGED_KEYS_MAX = 10_000;
/** Lines of `printf` that wait to be fetched, in one worker; more are dropped and counted. */
export const LINES_MAX = 1000;
export const LINE_CHARS_MAX = 2000;
/** `self.x` of one request. */
export const SELF_VARIABLES_MAX = 32;

/** One firing of this many is timed. */
export const TIMED_EVERY = 64;
/** The first firings compile code: 20 us each. They are not judged. */
export const UNJUDGED_FIRINGS = 256;
/** Of the windows over which the share is judged. */
export const WINDOW_MS = 100;

/** A worker whose trace nobody has fetched for so long ends it by itself. */
export const LEASE_MS = 15_000;
/** Traces at once in one worker. */
export const TRACES_MAX = 8;
/** Functions that one `fn:` probe with a glob may replace. */
export const FUNCTIONS_MAX = 200;

/** An interrupt of the main thread takes some 0.1 ms of it. */
export const PROFILE_HZ_MAX = 500;
/** Of what `printa` prints. */
export const PRINTED_COLUMNS = 80;
export const PRINTED_ROWS_MAX = 20;

/** Of a line that is watched: 100 times 150 to 200 us, some 2 % (bench/live/line-cost.ts). */
export const LINE_FIRINGS_MAX = 100;
export const LINE_PERIOD_MS = 1000;
