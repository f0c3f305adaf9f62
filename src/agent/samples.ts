/**
 * `profile:97hz`: interrupts the main thread so often, and tells the trace's runtime, which looks
 * at the stack that it stands on. V8 takes an interrupt on function entry and on loop back-edges, a
 * thread that is idle takes it at once. One at a time: while nothing answers, nothing is asked.
 */
import { LINE_CHANNEL } from "../base/mod.ts";
import type { WatchedLine } from "../base/mod.ts";
import { LineSession, channelOf } from "./line-session.ts";
import { pauses } from "./pauses.ts";

/** See the file's docstring. */
export class Samples {
  readonly #session: LineSession = new LineSession(() => undefined);

  /** Until `ended` resolves. */
  async watch(lines: readonly WatchedLine[], ended: Promise<void>): Promise<null> {
    const timers = lines.map(({ id, hz }) => {
      const message = `{ id: ${id}, isWanted: false, values: () => [] }`;
      const expression = `${channelOf(LINE_CHANNEL)}.publish(${message})`;
      let isUnderWay = false;
      return setInterval(() => {
        if (isUnderWay || pauses.asked > 0) return;
        isUnderWay = true;
        void this.#session.settled("Runtime.evaluate", { expression, silent: true }).then(() => {
          isUnderWay = false;
        });
      }, 1000 / hz);
    });
    await ended;
    for (const timer of timers) clearInterval(timer);
    return null;
  }
}
