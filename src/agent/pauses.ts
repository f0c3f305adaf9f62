/**
 * How many pauses of the main thread are asked for, of this thread's sessions. What is evaluated
 * meanwhile would be stopped in its own code, in an interrupt: V8 up to 13.6 ends the process where
 * the function that was interrupted had just been entered (a check in its ScopeIterator).
 */
export const pauses: { asked: number } = { asked: 0 };
