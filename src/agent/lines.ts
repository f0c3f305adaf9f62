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
import { Session } from "node:inspector";
import type { Debugger } from "node:inspector";
import { LINE_CHANNEL, nearestName } from "../base/mod.ts";
import type { WatchedLine } from "../base/mod.ts";
import { findFunction } from "./find-function.ts";
import { OURS, pathOf } from "./source-maps.ts";

/** As long as the runtime counts the firings of a line. */
const AGAIN_AFTER_MS = 1000;
const POST_LIMIT_MS = 2000;

/** The part of a Session that takes any message; @types/node has an overload for each. */
type Post = (
  method: string,
  parameters: object,
  callback: (error: Error | null, result: unknown) => void,
) => void;

interface Place {
  readonly location: Debugger.Location;
  readonly condition: string;
  readonly isOpen: () => boolean;
}

/** See the file's docstring. */
export class Lines {
  #session: Session | null = null;
  #scripts = new Map<string, string>();
  /** Breakpoints that are set, by their id. */
  readonly #set = new Map<string, Place>();
  #asks = 0;

  /** Watches until `ended` resolves; afterwards nothing is left of it. */
  async watch(lines: readonly WatchedLine[], ended: Promise<void>): Promise<null> {
    let isOpen = true;
    this.#asks += 1;
    try {
      if (this.#asks === 1) {
        this.#scripts = new Map();
        await this.#post("Debugger.enable");
      }
      for (const line of lines) {
        const problem = await this.#begin(line, () => isOpen).catch((error: unknown) => {
          return error instanceof Error ? error.message : String(error);
        });
        if (problem !== null) await this.#tell({ id: line.id, off: problem });
      }
      await ended;
      return null;
    } finally {
      isOpen = false;
      this.#asks -= 1;
      await this.#clear();
    }
  }

  /** Null, or why it cannot be watched. */
  async #begin(line: WatchedLine, isOpen: () => boolean): Promise<string | null> {
    const files = [...this.#scripts].filter(([, path]) => isNamed(path, line.file));
    const paths = [...new Set(files.map(([, path]) => path))];
    if (paths.length === 0) return `no file of that name is loaded${this.#near(line.file)}`;
    if (paths.length > 1) return `several files are: ${paths.slice(0, 4).join(", ")}`;
    let problem = "";
    for (const [scriptId] of files) {
      const found = await this.#placeIn(scriptId, line);
      const refused = typeof found === "string" ? found : await this.#tryAt(found, line, isOpen);
      if (refused === null) return null;
      problem ||= refused;
    }
    return problem;
  }

  async #placeIn(
    scriptId: string,
    { at, variables }: WatchedLine,
  ): Promise<{ location: Debugger.Location; values: string } | string> {
    if (typeof at === "string") {
      const { scriptSource } = (await this.#post("Debugger.getScriptSource", {
        scriptId,
      })) as Debugger.GetScriptSourceReturnType; // as the protocol describes the answer
      const found = findFunction(scriptSource, at);
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
    if (actual === null) return `the file has no line ${at} with code, nor one behind it`;
    const isThere = typeof at === "string" || actual.lineNumber + 1 === at;
    if (isThere) return null;
    await this.#remove(actual.breakpointId);
    const next = actual.lineNumber + 1;
    if (next < at) return `the file has no line ${at}`;
    return `line ${at} has no code of its own; the next that has is ${next}`;
  }

  async #setAt(place: Place): Promise<{ breakpointId: string; lineNumber: number }> {
    const { location, condition } = place;
    // as the protocol describes the answer
    const { breakpointId, actualLocation } = (await this.#post("Debugger.setBreakpoint", {
      location,
      condition,
    })) as Debugger.SetBreakpointReturnType;
    this.#set.set(breakpointId, place);
    if (!place.isOpen()) await this.#remove(breakpointId);
    return { breakpointId, lineNumber: actualLocation.lineNumber };
  }

  async #remove(breakpointId: string): Promise<void> {
    this.#set.delete(breakpointId);
    await settled(this.#post("Debugger.removeBreakpoint", { breakpointId }));
  }

  /** V8 has stopped: at one of ours it goes on without it; another's pause is left alone. */
  #paused({ hitBreakpoints = [] }: Debugger.PausedEventDataType): void {
    const ours = hitBreakpoints.filter((each) => this.#set.has(each));
    if (ours.length === 0) return;
    for (const breakpointId of ours) {
      const place = this.#set.get(breakpointId);
      void this.#remove(breakpointId);
      setTimeout(() => {
        if (place?.isOpen() === true) void settled(this.#setAt(place));
      }, AGAIN_AFTER_MS).unref();
    }
    if (ours.length === hitBreakpoints.length) void settled(this.#post("Debugger.resume"));
  }

  async #clear(): Promise<void> {
    for (const [breakpointId, place] of this.#set) {
      if (!place.isOpen()) await this.#remove(breakpointId);
    }
    if (this.#asks === 0) await settled(this.#post("Debugger.disable"));
  }

  #tell(message: object): Promise<unknown> {
    const text = JSON.stringify({ ...message, isWanted: false });
    const expression = `${channelOf(LINE_CHANNEL)}.publish(${text})`;
    return settled(this.#post("Runtime.evaluate", { expression, silent: true }));
  }

  #near(file: string): string {
    const baseOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
    const names = [...this.#scripts.values()].map((path) => baseOf(path));
    const near = nearestName(baseOf(file), new Set(names));
    return near === null ? "" : `; did you mean ${near}?`;
  }

  #post(method: string, parameters: object = {}): Promise<unknown> {
    const session = (this.#session ??= this.#connected());
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const late = new Error(`the main thread did not answer ${method}`);
    const timer = setTimeout(() => reject(late), POST_LIMIT_MS);
    // the method is one that is called on its session, and takes what the protocol says
    (session.post as Post).call(session, method, parameters, (error, result) => {
      if (error === null) resolve(result);
      else reject(new Error(`${method}: ${error.message}`, { cause: error }));
    });
    return promise.finally(() => clearTimeout(timer));
  }

  /** Kept for life, see main-session.ts. */
  #connected(): Session {
    const session = new Session();
    session.connectToMainThread();
    session.on("Debugger.scriptParsed", ({ params: { scriptId, url } }) => {
      const path = pathOf(url);
      if (path.startsWith("/") && !path.startsWith(OURS)) this.#scripts.set(scriptId, path);
    });
    session.on("Debugger.paused", ({ params }) => this.#paused(params));
    return session;
  }
}

/** What to evaluate in the main thread to have a diagnostics channel, whatever the scope. */
export function channelOf(name: string): string {
  const module = `globalThis.process.getBuiltinModule("node:diagnostics_channel")`;
  return `${module}.channel(${JSON.stringify(name)})`;
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

function isNamed(path: string, wanted: string): boolean {
  const bare = path.replace(/\.[cm]?[jt]s$/, "");
  const end = wanted.replaceAll("\\", "/").replace(/^\.\//, "");
  return [path, bare, bare.replace(/\/index$/, "")].some((each) => {
    return each === end || each.endsWith(`/${end}`);
  });
}

async function settled(promise: Promise<unknown>): Promise<void> {
  await promise.catch(() => undefined); // the main thread is busy, or gone: it is taken back then
}
