/**
 * The list of the probes that a process has made. It belongs to the process, not to this module:
 * there may be two copies of this package in it, the application's and the one that runs it.
 */

/** What `holdfast probes` says of a user's probe. */
export interface UserProbe {
  readonly name: string;
  readonly meaning: string;
  readonly args: readonly string[];
}

/** Of the diagnostics channel of a probe; its name follows. */
export const USER_CHANNEL_PREFIX = "holdfast:user:";

const LIST: unique symbol = Symbol.for("holdfast.trace.probes");

interface Holder {
  [LIST]?: Map<string, UserProbe>;
}

/** Adds a probe to the list, or replaces the one of that name. */
export function listProbe(made: UserProbe): void {
  const holder = globalThis as Holder; // it has no such member until the first probe is made
  if (holder[LIST] === undefined) {
    Object.defineProperty(holder, LIST, { value: new Map(), configurable: true });
  }
  holder[LIST]?.set(made.name, made);
}

/** The probes that this process has made. */
export function userProbes(): readonly UserProbe[] {
  const holder = globalThis as Holder; // as above
  return [...(holder[LIST]?.values() ?? [])];
}
