/**
 * `line:<file>:<n>`: seen by breakpoints that never stop. The agent sets them; their condition
 * tells us, and says whether to go on. For functions that no object holds the agent asks at their
 * next call what to bind instead (src/agent/bindings.ts); where nothing binds them, calls of them
 * are seen as lines are.
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
import { profileHz } from "../compile.ts";
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
  /** Why only calls of it can be seen. */
  readonly unbound?: string;
  /** What the first name of a function is bound to, and members from there. */
  readonly root?: unknown;
  readonly path?: readonly string[];
  /** To be bound instead. */
  replacement?: unknown;
  isWanted: boolean;
}

/** Replaces a function: what to bind instead, or null where its object has it already. */
export interface Bound {
  readonly replacement: unknown;
  readonly detach: Detach;
}

interface Watched {
  /** Those that fire for each event. */
  readonly sites: readonly Site[];
  readonly binding: Binding | null;
  readonly line: WatchedLine;
  readonly requests: Requests | null;
  fromMs: number;
  count: number;
}

/** A function that only its module's scope holds. */
export interface Binding {
  /** Who is told that only calls can be seen. */
  readonly returns: readonly Site[];
  /** Why no object holds it. */
  readonly why: string;
  /** A text: why not. */
  readonly bind: (root: unknown, path: readonly string[]) => Bound | string;
  bound: Bound | null;
}

/** The lines that are watched in this process. */
export class Lines {
  readonly #channel = channel(LINE_CHANNEL);
  readonly #watched: Map<number, Watched> = new Map();
  #lastId = 0;

  add(
    sites: readonly Site[],
    line: Omit<WatchedLine, "id" | "isBinding" | "hz">,
    requests: Requests | null,
    binding: Binding | null = null,
    hz = 0,
  ): Detach {
    this.#lastId += 1;
    const id = this.#lastId;
    if (this.#watched.size === 0) this.#channel.subscribe(this.#receive);
    const watched = { ...line, id, isBinding: binding !== null, hz };
    this.#watched.set(id, { sites, binding, line: watched, requests, fromMs: 0, count: 0 });
    return () => {
      binding?.bound?.detach();
      if (!this.#watched.delete(id) || this.#watched.size > 0) return;
      this.#channel.unsubscribe(this.#receive);
    };
  }

  /** What the agent has to watch for these. */
  of(sites: readonly Site[]): readonly WatchedLine[] {
    const all = [...this.#watched.values()];
    return all
      .filter((each) => sitesOf(each).some((site) => sites.includes(site)))
      .map(({ line }) => line);
  }

  /** Called in the middle of the application's code: nothing may escape from here. */
  readonly #receive = (message: unknown): void => {
    const event = message as LineEvent; // our own agent's
    const watched = this.#watched.get(event.id);
    if (watched === undefined) return;
    if (event.off !== undefined) {
      const { binding } = watched;
      const off = binding === null ? event.off : `${binding.why}: ${event.off}`;
      for (const site of sitesOf(watched)) site.off = off;
    } else if (event.unbound !== undefined) {
      const why = `${event.unbound}: only :entry can be seen`;
      for (const site of watched.binding?.returns ?? []) site.off = why;
    } else {
      if ("root" in event) this.#bind(watched, event);
      event.isWanted = this.#fire(watched, event);
    }
  };

  /** In the function's first call, which the replacement does not see. */
  #bind({ binding, sites }: Watched, event: LineEvent): void {
    if (binding === null) return;
    if (binding.bound !== null) {
      // asked again, as it could not be bound the last time
      event.replacement = binding.bound.replacement;
      return;
    }
    const bound = binding.bind(event.root, event.path ?? []);
    if (typeof bound === "string") {
      for (const site of [...sites, ...binding.returns]) site.off = bound;
      return;
    }
    binding.bound = bound;
    event.replacement = bound.replacement;
  }

  #fire(watched: Watched, { values = () => [] }: LineEvent): boolean {
    const time = now();
    if (time - watched.fromMs >= LINE_PERIOD_MS) {
      watched.fromMs = time;
      watched.count = 0;
    }
    const { sites, requests } = watched;
    const [site] = sites;
    if (site === undefined) return false;
    watched.count += 1;
    if (watched.count > Math.max(LINE_FIRINGS_MAX, watched.line.hz)) {
      const often = `${site.clause.written} runs more than ${LINE_FIRINGS_MAX} times a second`;
      site.fault(`${often}: the rest is not seen`);
      return false;
    }
    try {
      fireAll(sites, requests, values());
    } catch (error) {
      site.fault(text(error));
    }
    return sites.some((each) => each.off === null);
  }
}

function sitesOf({ sites, binding }: Watched): readonly Site[] {
  return [...sites, ...(binding?.returns ?? [])];
}

/** One breakpoint for each line, however many clauses there are. */
export const attachLines: Attach = (sites, { lines, requests }) => {
  const places = [...new Set(sites.map(({ clause }) => clause.rest))];
  return detachAll(
    places.map((place) => {
      const [, file = "", line = "0"] = /^(.*):(\d+)$/.exec(place) ?? [];
      const here = sites.filter(({ clause }) => clause.rest === place);
      const variables = [...new Set(here.flatMap(({ needs }) => needs.variables))];
      return lines.add(here, { file, at: Number(line), variables }, requests);
    }),
  );
};

/** The agent interrupts the main thread so often: no timer of its own fires while it computes. */
export const attachProfile: Attach = (sites, { lines, requests }) =>
  detachAll(
    sites.map((site) => {
      const line = { file: "", at: 0, variables: [] };
      return lines.add([site], line, requests, null, profileHz(site.clause.written) ?? 1);
    }),
  );
