/**
 * How many pauses of the main thread are asked for, of this thread's sessions. What is evaluated
 * meanwhile would be stopped in its own code, in an interrupt: V8 up to 13.6 ends the process where
 * the function that was interrupted had just been entered (a check in its ScopeIterator).
 */
export const pauses: { asked: number; areShared: boolean } = { asked: 0, areShared: false };

/**
 * Of a pause of ours at least. The debuggers that dd-trace and Sentry have in the process end every
 * pause that they do not know, after 3 to 20 ms (6.21 and 11.12, measured), and end themselves when
 * that fails because it is over. `areShared`: one of ours was ended that way.
 */
export const HELD_MS_MIN = 30;
