/**
 * Watches lines of the main thread's code for traces, by breakpoints whose condition tells the
 * trace's runtime there (src/trace/runtime/lines.ts), and that stop only where it wants no more.
 *
 * ```
 *   set --condition: wanted--> goes on        --not wanted: paused--> taken away --1 s--> set
 * ```
 * A session of its own: MainSession switches the Debugger domain off again and again. While a line
 * is watched the domain is on, with which each `await` takes a microsecond more.
 */
import type { Debugger } from "node:inspector";
import { LINE_CHANNEL } from "../base/mod.ts";
import type { WatchedLine } from "../base/mod.ts";
import { findFunction } from "./find-function.ts";
import { LineSession, channelOf, filesOf, scriptsOf } from "./line-session.ts";
import type { Pause } from "./line-session.ts";

/** As long as the runtime counts the firings of a line. */
const AGAIN_AFTER_MS = 1000;

interface Place {
  readonly location: Debugger.Location;
  readonly condition: string;
  readonly isOpen: () => boolean;
}

/** See the file's docstring. */
export class Lines {
  readonly #session: LineSession = new LineSession((...told) => this.#paused(...told));
  /** Breakpoints that are set, by their id. */
  readonly #set = new Map<string, Place>();

  /** Watches until `ended` resolves; afterwards nothing is left of it. */
  async watch(lines: readonly WatchedLine[], ended: Promise<void>): Promise<null> {
    let isOpen = true;
    const release = await this.#session.hold();
    try {
      for (const line of lines) {
        const problem = await this.#begin(line, () => isOpen).catch((error: unknown) => {
          return error instanceof Error ? error.message : String(error);
        });
        if (problem !== null) await this.#session.tell({ id: line.id, off: problem });
      }
      await ended;
      return null;
    } finally {
      isOpen = false;
      for (const [breakpointId, place] of this.#set) {
        if (!place.isOpen()) await this.#remove(breakpointId);
      }
      await release();
    }
  }

  /** Null, or why it cannot be watched. */
  async #begin(line: WatchedLine, isOpen: () => boolean): Promise<string | null> {
    const { scripts } = this.#session;
    const files = typeof line.at === "string" ? filesOf(scripts, line.file, line.at) : null;
    if (typeof files === "string") return files;
    const scriptIds = files?.scriptIds ?? scriptsOf(scripts, line.file);
    if (typeof scriptIds === "string") return scriptIds;
    const names = files?.names ?? [];
    let problem = "";
    for (const scriptId of scriptIds) {
      const found = await this.#placeIn(scriptId, line, names);
      const refused = typeof found === "string" ? found : await this.#tryAt(found, line, isOpen);
      if (refused === null) return null;
      problem ||= refused;
    }
    return problem;
  }

  async #placeIn(
    scriptId: string,
    { at, variables }: WatchedLine,
    names: readonly string[],
  ): Promise<{ location: Debugger.Location; values: string } | string> {
    if (typeof at === "string") {
      const source = await this.#session.sourceOf(scriptId);
      const found = findFunction(source, names.at(-1) ?? at, names.length > 1);
      if (typeof found === "string") return found;
      const { line: lineNumber, column: columnNumber, values } = found;
      return { location: { scriptId, lineNumber, columnNumber }, values };
    }
    const members = variables.map((name) => `${JSON.stringify(name)}: ${readOf(name)}`);
    const values = `[{ __proto__: null, ${members.join(", ")} }]`;
    return { location: { scriptId, lineNumber: at - 1, columnNumber: 0 }, values };
  }

  /**
   * V8 slides to the next place where it can stop. (Debugger.getPossibleBreakpoints would tell
   * where that is, but has none in a process that spun before the agent came.)
   */
  async #tryAt(
    { location, values }: { readonly location: Debugger.Location; readonly values: string },
    { id, at }: WatchedLine,
    isOpen: () => boolean,
  ): Promise<string | null> {
    const place: Place = { location, condition: conditionOf(id, values), isOpen };
    const actual = await this.#setAt(place).catch((error: unknown) => {
      if (String(error).includes("Could not resolve")) return null; // V8 found no code behind it
      throw error;
    });
    if (actual === null) return this.#nothingAt(location);
    const isThere = typeof at === "string" || actual.lineNumber + 1 === at;
    if (isThere) return null;
    await this.#remove(actual.breakpointId);
    const next = actual.lineNumber + 1;
    if (next < at) return `the file has no line ${at}`;
    return `line ${at} has no code of its own; the next that has is ${next}`;
  }

  /** V8 forgets what has run once: the code of a module that is outside of its functions. */
  async #nothingAt({ scriptId, lineNumber }: Debugger.Location): Promise<string> {
    const source = await this.#session.sourceOf(scriptId);
    const count = source.replace(/\n$/, "").split("\n").length;
    const at = lineNumber + 1;
    if (at > count) return `the file has no line ${at}, it has ${count}`;
    const why = "it has no code, or is outside of functions, which has run already";
    return `V8 can stop nowhere in line ${at}: ${why}`;
  }

  async #setAt(place: Place): Promise<{ breakpointId: string; lineNumber: number }> {
    const { location, condition } = place;
    const options = { location, condition };
    const { breakpointId, actualLocation } = await this.#session.setBreakpoint(options, (set) => {
      this.#set.set(set.breakpointId, place);
    });
    if (!place.isOpen()) await this.#remove(breakpointId);
    return { breakpointId, lineNumber: actualLocation.lineNumber };
  }

  async #remove(breakpointId: string): Promise<void> {
    this.#set.delete(breakpointId);
    await this.#session.settled("Debugger.removeBreakpoint", { breakpointId });
  }

  /** V8 has stopped: at one of ours it goes on without it; another's pause is left alone. */
  #paused({ hitBreakpoints = [] }: Debugger.PausedEventDataType, pause: Pause): void {
    const ours = hitBreakpoints.filter((each) => this.#session.isOwn(each));
    if (ours.length === 0) return;
    for (const breakpointId of ours) {
      const place = this.#set.get(breakpointId);
      void this.#remove(breakpointId);
      setTimeout(() => {
        if (place?.isOpen() === true) void this.#setAt(place).catch(() => undefined);
      }, AGAIN_AFTER_MS).unref();
    }
    if (ours.length === hitBreakpoints.length) void this.#session.resume(pause);
  }
}

/** False: go on. Nobody listens, as the trace has ended: true, and the breakpoint is taken away. */
function conditionOf(id: number, values: string): string {
  const publish = `${channelOf(LINE_CHANNEL)}.publish(message)`;
  const message = `{ id: ${id}, isWanted: false, values: () => ${values} }`;
  return `((message) => { ${publish}; return !message.isWanted; })(${message})`;
}

/** A variable that may not be there, or not yet. */
function readOf(name: string): string {
  const isName = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) || name === "this";
  return isName ? `(() => { try { return ${name}; } catch { return undefined; } })()` : "undefined";
}
