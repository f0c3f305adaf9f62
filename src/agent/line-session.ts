/**
 * An inspector session for traces, beside MainSession: that one switches the Debugger domain off
 * again and again, here it stays on for as long as somebody holds it.
 */
import { Session } from "node:inspector";
import type { Debugger } from "node:inspector";
import { LINE_CHANNEL, nearestName } from "../base/mod.ts";
import { connectToMain } from "./connect.ts";
import { HELD_MS_MIN, pauses } from "./pauses.ts";
import { OURS, pathOf } from "./source-maps.ts";

const POST_LIMIT_MS = 2000;
/** Files that are looked at for an `import`. */
const IMPORTERS_MAX = 500;

/** The part of a Session that takes any message; @types/node has an overload for each. */
type Post = (
  method: string,
  parameters: object,
  callback: (error: Error | null, result: unknown) => void,
) => void;

/** A file of the application's that is loaded. */
export interface LineScript {
  readonly path: string;
  readonly isModule: boolean;
}

/** One pause of the main thread. */
export interface Pause {
  readonly sinceMs: number;
}

type OnPaused = (paused: Debugger.PausedEventDataType, pause: Pause) => void;

/** See the file's docstring. */
export class LineSession {
  /** By id, since the domain was last switched on. */
  readonly scripts = new Map<string, LineScript>();
  readonly #onPaused: OnPaused;
  #session: Session | null = null;
  #holders = 0;
  /** The answer to those who hold it now. */
  #enabled: Promise<unknown> = Promise.resolve();
  /** The pause in which the main thread stands. */
  #pause: Pause | null = null;
  #hasPaused = false;
  /** Breakpoints whose answers are not here yet. */
  readonly #setting = new Set<Promise<void>>();
  /** Ids of those that were ever set; V8 makes them of the place. */
  readonly #own = new Set<string>();
  #onResumed: () => void = () => undefined;

  constructor(onPaused: OnPaused) {
    this.#onPaused = onPaused;
  }

  /**
   * Keeps the Debugger domain on until what it gives is called (again and again, if you like).
   */
  async hold(): Promise<() => Promise<void>> {
    this.#holders += 1;
    let isHeld = true;
    if (this.#holders === 1) {
      this.scripts.clear();
      this.#enabled = this.post("Debugger.enable");
    }
    // also who comes while it is being switched on: there are no scripts before
    await this.#enabled.catch((error: unknown) => {
      this.#holders -= 1;
      throw error;
    });
    return async () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holders -= 1;
      if (this.#holders === 0) await this.settled("Debugger.disable");
    };
  }

  async post(method: string, parameters: object = {}): Promise<unknown> {
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

  /** The main thread may be busy, or gone: then it is taken back with the session. */
  async settled(method: string, parameters: object = {}): Promise<void> {
    await this.post(method, parameters).catch(() => undefined);
  }

  /** Tells the trace's runtime of a line. */
  async tell(message: object): Promise<void> {
    const text = JSON.stringify({ ...message, isWanted: false });
    const expression = `${channelOf(LINE_CHANNEL)}.publish(${text})`;
    await this.settled("Runtime.evaluate", { expression, silent: true });
  }

  /**
   * Sets a breakpoint. It may be hit before its answer is here: of a pause is told after `onSet`.
   */
  async setBreakpoint(
    options: Debugger.SetBreakpointParameterType,
    onSet: (answer: Debugger.SetBreakpointReturnType) => void,
  ): Promise<Debugger.SetBreakpointReturnType> {
    const set = this.post("Debugger.setBreakpoint", options).then((answer) => {
      const given = answer as Debugger.SetBreakpointReturnType; // as the protocol describes it
      this.#own.add(given.breakpointId);
      onSet(given);
      return given;
    });
    const settled = set.then(
      () => undefined,
      () => undefined, // it is for who asked
    );
    this.#setting.add(settled);
    return set.finally(() => this.#setting.delete(settled));
  }

  /** Whether a breakpoint was set here, maybe taken away while it was hit. */
  isOwn(breakpointId: string): boolean {
    return this.#own.has(breakpointId);
  }

  /** Another debugger has ended the pause; a call frame's id may be one of the next pause then. */
  isOver(pause: Pause): boolean {
    return this.#pause !== pause;
  }

  /** Ends a pause. Others have the time to do that first: see pauses.ts. */
  async resume(pause: Pause): Promise<void> {
    const restMs = pause.sinceMs + HELD_MS_MIN - performance.now();
    if (restMs > 0 && (pauses.areShared || !this.#hasPaused)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onResumed = resolve;
      const timer = setTimeout(resolve, restMs);
      await promise.finally(() => clearTimeout(timer));
    }
    this.#hasPaused = true;
    if (this.isOver(pause)) pauses.areShared = true;
    else await this.settled("Debugger.resume");
  }

  async sourceOf(scriptId: string): Promise<string> {
    const answer = await this.post("Debugger.getScriptSource", { scriptId });
    return (answer as Debugger.GetScriptSourceReturnType).scriptSource; // the protocol says so
  }

  /** Where functions of a script return: each has such a place. */
  async returnsOf(scriptId: string): Promise<readonly Debugger.BreakLocation[]> {
    const start = { scriptId, lineNumber: 0, columnNumber: 0 };
    const answer = await this.post("Debugger.getPossibleBreakpoints", { start });
    const { locations } = answer as Debugger.GetPossibleBreakpointsReturnType; // as above
    return locations.filter(({ type }) => type === "return");
  }

  /** Modules of the application's own that may import from a module, by what their text says. */
  async importersOf(scriptId: string): Promise<readonly string[]> {
    const script = this.scripts.get(scriptId);
    if (script?.isModule !== true) return [];
    const base = script.path.slice(script.path.lastIndexOf("/") + 1);
    const others = [...this.scripts].filter(([id, { path, isModule }]) => {
      return id !== scriptId && isModule && !path.includes("/node_modules/");
    });
    const found: string[] = [];
    for (const [id] of others.slice(0, IMPORTERS_MAX)) {
      if ((await this.sourceOf(id)).includes(base)) found.push(id);
    }
    return found;
  }

  /** Kept for life, see main-session.ts. */
  #connected(): Session {
    const session = new Session();
    connectToMain(session);
    session.on("Debugger.scriptParsed", ({ params: { scriptId, url, isModule = false } }) => {
      const path = pathOf(url);
      if (!path.startsWith("/") || path.startsWith(OURS)) return;
      this.scripts.set(scriptId, { path, isModule });
    });
    session.on("Debugger.paused", ({ params }) => {
      const pause = { sinceMs: performance.now() };
      this.#pause = pause;
      void Promise.all(this.#setting).then(() => {
        if (!this.isOver(pause)) this.#onPaused(params, pause);
      });
    });
    session.on("Debugger.resumed", () => {
      this.#pause = null;
      this.#onResumed();
    });
    return session;
  }
}

/** What to evaluate in the main thread to have a diagnostics channel, whatever the scope. */
export function channelOf(name: string): string {
  const module = `globalThis.process.getBuiltinModule("node:diagnostics_channel")`;
  return `${module}.channel(${JSON.stringify(name)})`;
}

/** The scripts that have this file's name (one file may be loaded several times), or why none. */
export function scriptsOf(
  scripts: ReadonlyMap<string, LineScript>,
  file: string,
): readonly string[] | string {
  const named = [...scripts].filter(([, { path }]) => isNamed(path, file));
  // the application's own come before those of its packages
  const own = named.filter(([, { path }]) => !path.includes("/node_modules/"));
  const found = own.length > 0 ? own : named;
  const paths = [...new Set(found.map(([, { path }]) => path))];
  if (paths.length === 0) return `no file of that name is loaded${near(scripts, file)}`;
  if (paths.length > 1) return `several files are: ${paths.slice(0, 4).join(", ")}`;
  return found.map(([scriptId]) => scriptId);
}

/**
 * The file of `db.Pool.query`, and what is in it: the longest name that a file has, as a file's
 * name may have dots.
 */
export function filesOf(
  scripts: ReadonlyMap<string, LineScript>,
  file: string,
  name: string,
): { readonly scriptIds: readonly string[]; readonly names: readonly string[] } | string {
  const all = `${file}.${name}`.split(".");
  let problem = "";
  for (let count = all.length - 1; count > 0; count -= 1) {
    const scriptIds = scriptsOf(scripts, all.slice(0, count).join("."));
    if (typeof scriptIds !== "string") return { scriptIds, names: all.slice(count) };
    problem = scriptIds; // of the shortest name, which is a file's most often
  }
  return problem;
}

function near(scripts: ReadonlyMap<string, LineScript>, file: string): string {
  const baseOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
  const names = [...scripts.values()].map(({ path }) => baseOf(path));
  const nearest = nearestName(baseOf(file), new Set(names));
  return nearest === null ? "" : `; did you mean ${nearest}?`;
}

function isNamed(path: string, wanted: string): boolean {
  const bare = path.replace(/\.[cm]?[jt]s$/, "");
  const end = wanted.replaceAll("\\", "/").replace(/^\.\//, "");
  return [path, bare, bare.replace(/\/index$/, "")].some((each) => {
    return each === end || each.endsWith(`/${end}`);
  });
}
