/**
 * Node's timers as they are before the application comes: neither traces of what it sets nor its
 * fakes see ours.
 */
export const soon: typeof setImmediate = setImmediate;
export const later: typeof setTimeout = setTimeout;
export const every: typeof setInterval = setInterval;
