/**
 * `line:<file>:<n>`, and `fn:...:entry` of functions that no object holds: seen by breakpoints that
 * never stop. The agent sets them; their condition tells us, and says whether to go on.
 *
 * ```
 *   the line runs --condition: publish({id, values})--> Lines --> clause     answer isWanted: true
 *                                                 +--> too often, or nobody's: isWanted: false
 *   false --> V8 pauses --> the agent takes the breakpoint away, and lets go; again a second later
 * ```
 * V8 takes 150 to 200 us for each, mostly to compile the condition, which no budget of a clause can
 * see: so many a second, then none.
 */
import { channel } from "node:diagnostics_channel";
import { LINE_CHANNEL } from "../../base/mod.ts";
import type { WatchedLine } from "../../base/mod.ts";
import { LINE_FIRINGS_MAX, LINE_PERIOD_MS } from "../limits.ts";
import type { Site } from "../site.ts";
import { text } from "../values.ts";
import { now } from "./platform.ts";
import { detachAll, fireAll } from "./provider.ts";
import type { Attach, Detach } from "./provider.ts";
import type { Requests } from "./requests.ts";

/** What a breakpoint's condition publishes, or what the agent has to say of a line. */
interface LineEvent {
  readonly id: number;
  /** The arguments of a firing: an object of variables, or those of the function. */
  readonly values?: () => readonly unknown[];
  /** Why it cannot be watched. */
  readonly off?: string;
  isWanted: boolean;
}

interface Watched {
  readonly site: Site;
  readonly line: WatchedLine;
  readonly requests: Requests | null;
  fromMs: number;
  count: number;
}

/** The lines that are watched in this process. */
export class Lines {
  readonly #channel = channel(LINE_CHANNEL);
  readonly #watched: Map<number, Watched> = new Map();
  #lastId = 0;

  add(site: Site, line: Omit<WatchedLine, "id">, requests: Requests | null): Detach {
    this.#lastId += 1;
    const id = this.#lastId;
    if (this.#watched.size === 0) this.#channel.subscribe(this.#receive);
    this.#watched.set(id, { site, line: { ...line, id }, requests, fromMs: 0, count: 0 });
    return () => {
      if (!this.#watched.delete(id) || this.#watched.size > 0) return;
      this.#channel.unsubscribe(this.#receive);
    };
  }

  /** What the agent has to watch for these. */
  of(sites: readonly Site[]): readonly WatchedLine[] {
    const all = [...this.#watched.values()];
    return all.filter(({ site }) => sites.includes(site)).map(({ line }) => line);
  }

  /** Called in the middle of the application's code: nothing may escape from here. */
  readonly #receive = (message: unknown): void => {
    const event = message as LineEvent; // our own agent's
    const watched = this.#watched.get(event.id);
    if (watched === undefined) return;
    if (event.off !== undefined) {
      watched.site.off = event.off;
      return;
    }
    event.isWanted = this.#fire(watched, event);
  };

  #fire(watched: Watched, { values = () => [] }: LineEvent): boolean {
    const time = now();
    if (time - watched.fromMs >= LINE_PERIOD_MS) {
      watched.fromMs = time;
      watched.count = 0;
    }
    const { site, requests } = watched;
    watched.count += 1;
    if (watched.count > LINE_FIRINGS_MAX) {
      const often = `${site.clause.written} runs more than ${LINE_FIRINGS_MAX} times a second`;
      site.fault(`${often}: the rest is not seen`);
      return false;
    }
    try {
      fireAll([site], requests, values());
    } catch (error) {
      site.fault(text(error));
    }
    return site.off === null;
  }
}

export const attachLines: Attach = (sites, { lines, requests }) => {
  return detachAll(
    sites.map((site) => {
      const [, file = "", line = "0"] = /^(.*):(\d+)$/.exec(site.clause.rest) ?? [];
      const variables = [...new Set(site.needs.variables)];
      return lines.add(site, { file, at: Number(line), variables }, requests);
    }),
  );
};
