/**
 * The life of a connection slot.
 *
 * ```
 *          accept          placed            received              bytes read
 *   free ---------> held ---------> handed ------------> idle <----------------> busy
 *    |                ^ ^              |  not received     | |      answered       |
 *    |                | +--------------+                   | +------> opaque <-----+
 *    +--> granted     +--- released <----------------------+            | TLS, upgrade, raw TCP
 *           |         |    given back                      |            |
 *           +-> idle  +--- idle, busy: the worker died     v            v
 *                          +--> ending (503) --> free    closed --> free
 * ```
 * Writers: the worker that owns the slot moves it between idle, busy, opaque, released and closed;
 * the reactor does the rest, and everything once the owner has died. `handed` is left by compare
 * and exchange, since the reactor may take back what a worker has not received.
 */
import assert from "node:assert";

export const CONNECTION_STATES = [
  "free",
  "handed",
  "idle",
  "busy",
  "opaque",
  "released",
  "closed",
  "held",
  "ending",
  "granted",
] as const;
export type ConnectionState = (typeof CONNECTION_STATES)[number];

/** The number of each state, as it stands in the slot. */
export const STATE: Readonly<Record<ConnectionState, number>> = {
  free: 0,
  handed: 1,
  idle: 2,
  busy: 3,
  opaque: 4,
  released: 5,
  closed: 6,
  held: 7,
  ending: 8,
  granted: 9,
};

/** From which states each state may be entered. */
export const ENTERED_FROM: Readonly<Record<ConnectionState, readonly ConnectionState[]>> = {
  free: ["closed", "handed", "idle", "busy", "opaque", "released", "held", "ending", "granted"],
  granted: ["free"],
  handed: ["held"],
  idle: ["handed", "busy", "granted"],
  busy: ["idle", "handed"],
  opaque: ["idle", "busy", "handed"],
  released: ["idle"],
  closed: ["idle", "busy", "opaque", "handed", "granted"],
  held: ["free", "handed", "idle", "busy", "released"],
  ending: ["idle", "busy"],
};

/** Bit n of entry m: state m may be entered from state n. */
const ENTERED_FROM_BITS: readonly number[] = CONNECTION_STATES.map((to) =>
  ENTERED_FROM[to].reduce((bits, from) => bits | (1 << STATE[from]), 0),
);

/** Asserts that a slot in state `from` may enter `to`; a violation is a programmer's error. */
export function assertTransition(from: number, to: number): void {
  if ((((ENTERED_FROM_BITS[to] ?? 0) >> from) & 1) === 1) return;
  const [before = from, after = to] = [CONNECTION_STATES[from], CONNECTION_STATES[to]];
  assert.fail(`a connection cannot go from ${before} to ${after}`);
}
