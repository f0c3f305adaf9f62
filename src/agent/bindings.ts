/**
 * Functions that no object holds, replaced where they are bound: in the scope of their module, also
 * `const` ones and those that ES modules import. Nothing but a debugger may write there, so the
 * main thread is stopped for some milliseconds at the function's next call, and once more when the
 * trace is over. In between the Debugger domain is off, and a call costs what a wrapper costs.
 *
 * ```
 *   breakpoint --its next call: paused--> the trace's runtime makes a wrapper of the function
 *                                    --> bound in the scope --> bound ... the trace is over
 *   bound --a function that was made in that scope, and stops: paused--> the original is back
 *         --nobody answers: a second later, again--^
 * ```
 * V8 builds what is bound for good (a `const`, also what was never written to again) into optimized
 * code; a breakpoint that never holds, set in each function and taken away, makes it forget that
 * code (measured on 22, 24 and 26: without it some calls went to the old function for ever).
 */
import type { Debugger, Runtime } from "node:inspector";
import { LINE_CHANNEL } from "../base/mod.ts";
import type { WatchedLine } from "../base/mod.ts";
import { findFunction } from "./find-function.ts";
import { LineSession, channelOf, filesOf } from "./line-session.ts";
import type { Pause } from "./line-session.ts";

const RETRY_MS = 1000;
/** A main thread that is in native code for longer keeps a wrapper that does nothing. */
const RETRIES_MAX = 120;
/** What is stopped at in a script to make V8 forget its optimized code. */
const SWEPT_MAX = 2000;
/** Scopes that a name of a module can be in; a function's own variables are no such thing. */
const SCOPES: readonly string[] = ["closure", "module", "script", "block"];

/** Calls at which another debugger of the process may end the pause before we have done. */
const TRIES_MAX = 10;

/** Made in the scope of a module; stops there when it is called while a session listens. */
const STOPPER_NAME = "holdfastStopsHere";
const STOPPER = `(function ${STOPPER_NAME}() { debugger; })`;
const LATER = `function () {
  globalThis.process.getBuiltinModule("node:timers").setImmediate(this);
}`;

interface Wanted {
  readonly line: WatchedLine;
  readonly scriptId: string;
  readonly location: Debugger.Location;
  /** The name in the module's scope, and members from there. */
  readonly name: string;
  readonly path: readonly string[];
  /** An expression: the arguments of the call. */
  readonly values: string;
  readonly owner: Owner;
  /** The how many-th call it is at which it is tried. */
  readonly tries: number;
}

/** The trace that wants it. */
interface Owner {
  readonly isOpen: () => boolean;
  /** Told of the name that is bound for it. */
  readonly hold: (key: string) => void;
  /** Told of a function that is in no scope. */
  readonly unbound: (line: WatchedLine) => void;
}

/** A name that has our wrapper; objects by their ids in the session. */
interface Bound {
  readonly scriptId: string;
  readonly name: string;
  readonly original: string;
  readonly wrapper: string;
  /** A function that was made in the scope, and stops when it is called. */
  readonly stopper: string;
  holders: number;
}

/** See the file's docstring. */
export class Bindings {
  readonly #session: LineSession = new LineSession((...told) => this.#paused(...told));
  /** By breakpoint: several traces may want one function. */
  readonly #wanted = new Map<string, readonly Wanted[]>();
  /** By place: V8 takes one breakpoint for each. */
  readonly #places = new Map<string, string>();
  readonly #bound = new Map<string, Bound>();
  #restoring: ((frame: Debugger.CallFrame, pause: Pause) => Promise<void>) | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  /** Scripts in which something was bound, while the main thread stands. */
  readonly #toSweep = new Set<string>();
  /** Who waits until nothing is wanted any more. */
  readonly #waiting: (() => void)[] = [];

  /**
   * Binds until `ended` resolves; afterwards everything is as it was.
   * @param unbound told of a function that is in no scope
   */
  async watch(
    lines: readonly WatchedLine[],
    ended: Promise<void>,
    unbound: (line: WatchedLine) => void,
  ): Promise<null> {
    let isOpen = true;
    const release = await this.#session.hold();
    const keys: string[] = [];
    try {
      for (const line of lines) {
        const owner = { isOpen: () => isOpen, hold: (key: string) => keys.push(key), unbound };
        const problem = await this.#begin(line, owner).catch((error: unknown) => {
          return error instanceof Error ? error.message : String(error);
        });
        if (problem !== null) await this.#session.tell({ id: line.id, off: problem });
      }
      await Promise.race([ended, this.#allBound(lines)]);
      await release(); // awaits are as fast as ever again
      await ended;
      return null;
    } finally {
      isOpen = false;
      await release();
      await this.#unwant(lines);
      for (const key of keys) this.#letGo(key);
    }
  }

  async #unwant(lines: readonly WatchedLine[]): Promise<void> {
    for (const [breakpointId, wanted] of this.#wanted) {
      const rest = wanted.filter(({ line }) => !lines.includes(line));
      if (rest.length > 0) this.#wanted.set(breakpointId, rest);
      else await this.#remove(breakpointId);
    }
  }

  async #remove(breakpointId: string): Promise<void> {
    this.#wanted.delete(breakpointId);
    for (const [place, id] of this.#places) if (id === breakpointId) this.#places.delete(place);
    await this.#session.settled("Debugger.removeBreakpoint", { breakpointId });
  }

  async #allBound(lines: readonly WatchedLine[]): Promise<void> {
    while ([...this.#wanted.values()].flat().some(({ line }) => lines.includes(line))) {
      await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    }
  }

  /** Null, or why it cannot be. */
  async #begin(line: WatchedLine, owner: Owner): Promise<string | null> {
    const found = filesOf(this.#session.scripts, line.file, String(line.at));
    if (typeof found === "string") return found;
    const { scriptIds, names } = found;
    const [name = "", ...path] = names;
    let problem = "";
    for (const scriptId of scriptIds) {
      const source = await this.#session.sourceOf(scriptId);
      const place = findFunction(source, path.at(-1) ?? name, path.length > 0);
      if (typeof place === "string") {
        problem ||= place;
        continue;
      }
      const { line: lineNumber, column: columnNumber, values } = place;
      const location = { scriptId, lineNumber, columnNumber };
      await this.#setAt({ line, scriptId, location, name, path, values, owner, tries: 1 });
      return null;
    }
    return problem;
  }

  async #setAt(wanted: Wanted): Promise<void> {
    const { location } = wanted;
    const place = `${location.scriptId}:${location.lineNumber}:${location.columnNumber}`;
    const known = this.#places.get(place);
    if (known !== undefined) {
      this.#wanted.set(known, [...(this.#wanted.get(known) ?? []), wanted]);
      return;
    }
    await this.#session.setBreakpoint({ location }, ({ breakpointId }) => {
      this.#places.set(place, breakpointId);
      this.#wanted.set(breakpointId, [wanted]);
    });
  }

  /** Ours are gone on from, whatever happens; another's pause is left alone. */
  #paused({ hitBreakpoints = [], callFrames }: Debugger.PausedEventDataType, pause: Pause): void {
    const [frame] = callFrames;
    const ours = hitBreakpoints.filter((each) => this.#session.isOwn(each));
    if (frame === undefined) return;
    if (ours.length === 0) {
      if (frame.functionName !== STOPPER_NAME) return;
      // one that comes late stops too, and nobody else lets it go on
      const restored = this.#restoring?.(frame, pause) ?? Promise.resolve();
      void restored.catch(() => undefined).then(() => this.#session.resume(pause)); // tried again
      return;
    }
    const isOthers = ours.length < hitBreakpoints.length;
    void this.#bindAll(ours, frame, isOthers, pause).catch(() => undefined); // it answers no more
  }

  async #bindAll(
    breakpoints: readonly string[],
    frame: Debugger.CallFrame,
    isOthers: boolean,
    pause: Pause,
  ): Promise<void> {
    // the trace may end meanwhile, or have all that it wanted
    const release = await this.#session.hold();
    try {
      for (const breakpointId of breakpoints) {
        const all = this.#wanted.get(breakpointId) ?? [];
        const removed = this.#remove(breakpointId);
        for (const wanted of all.filter(({ owner }) => owner.isOpen())) {
          await this.#bind(wanted, frame, pause).catch((error: unknown) => {
            return this.#failed(wanted, error, this.#session.isOver(pause));
          });
        }
        await removed;
      }
      if (!isOthers) await this.#session.resume(pause);
      await this.#sweepAfter();
    } finally {
      await release();
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  /** Where another debugger has ended the pause meanwhile, the next call is waited for. */
  async #failed(wanted: Wanted, error: unknown, isOver: boolean): Promise<void> {
    const { line, owner, tries } = wanted;
    if (!isOver) {
      const off = error instanceof Error ? error.message : String(error);
      await this.#session.tell({ id: line.id, off });
    } else if (tries < TRIES_MAX) {
      if (owner.isOpen()) await this.#setAt({ ...wanted, tries: tries + 1 });
    } else await this.#unbound(wanted, "another debugger in the process ends each pause too early");
  }

  async #unbound({ line, owner }: Wanted, unbound: string): Promise<void> {
    await this.#session.tell({ id: line.id, unbound });
    owner.unbound(line);
  }

  async #sweepAfter(): Promise<void> {
    const scripts = [...this.#toSweep];
    this.#toSweep.clear();
    for (const scriptId of scripts) await this.#sweep(scriptId);
  }

  /** While the main thread stands in a call of the function. */
  async #bind(wanted: Wanted, frame: Debugger.CallFrame, pause: Pause): Promise<void> {
    const { line, scriptId, name, path, values, owner } = wanted;
    const { callFrameId } = frame;
    const scopeNumber = await this.#scopeOf(frame, name);
    if (scopeNumber < 0) {
      return this.#unbound(wanted, `${name} is in no scope that outlives a call`);
    }
    const members = `root: ${name}, path: ${JSON.stringify(path)}, values: () => ${values}`;
    const message = `{ id: ${line.id}, isWanted: false, ${members} }`;
    const publish = `${channelOf(LINE_CHANNEL)}.publish(message)`;
    const bind = `((message) => { ${publish}; return message.replacement; })(${message})`;
    // at once, as another debugger may end the pause
    const [before, made, stopper] = await Promise.all([
      this.#evaluate(callFrameId, name),
      this.#evaluate(callFrameId, bind),
      this.#evaluate(callFrameId, STOPPER),
    ]);
    const { objectId: wrapper, type } = made;
    if (type !== "function" || wrapper === undefined || before.objectId === undefined) return;
    await this.#set(pause, {
      callFrameId,
      scopeNumber,
      variableName: name,
      newValue: { objectId: wrapper },
    });
    const key = `${scriptId}:${name}`;
    owner.hold(key);
    const known = this.#bound.get(key);
    if (known === undefined) {
      const [original, { objectId: stops = "" }] = [before.objectId, stopper];
      this.#bound.set(key, { scriptId, name, original, wrapper, stopper: stops, holders: 1 });
    } else {
      known.holders += 1;
      await this.#session.settled("Runtime.releaseObject", { objectId: stopper.objectId });
    }
    this.#toSweep.add(scriptId);
  }

  async #set(pause: Pause, options: Debugger.SetVariableValueParameterType): Promise<void> {
    this.#mustStand(pause);
    await this.#session.post("Debugger.setVariableValue", options);
  }

  #mustStand(pause: Pause): void {
    if (this.#session.isOver(pause)) throw new Error("another debugger has ended the pause");
  }

  async #scopeOf({ scopeChain }: Debugger.CallFrame, name: string): Promise<number> {
    for (const [index, { type, object }] of scopeChain.entries()) {
      const { objectId } = object;
      if (!SCOPES.includes(type) || objectId === undefined) continue;
      const { result } = (await this.#session.post("Runtime.getProperties", {
        objectId,
        ownProperties: true,
      })) as Runtime.GetPropertiesReturnType; // as the protocol describes the answer
      if (result.some((each) => each.name === name)) return index;
    }
    return -1;
  }

  async #evaluate(callFrameId: string, expression: string): Promise<Runtime.RemoteObject> {
    const { result, exceptionDetails } = (await this.#session.post("Debugger.evaluateOnCallFrame", {
      callFrameId,
      expression,
      silent: true,
    })) as Debugger.EvaluateOnCallFrameReturnType; // as above
    if (exceptionDetails === undefined) return result;
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }

  /** One holder less; the last one's name gets its function back. */
  #letGo(key: string): void {
    const bound = this.#bound.get(key);
    if (bound === undefined) return;
    bound.holders -= 1;
    if (bound.holders > 0) return;
    this.#queue = this.#queue.then(() => this.#restore(key, bound, RETRIES_MAX));
  }

  async #restore(key: string, bound: Bound, tries: number): Promise<void> {
    const isDone = await this.#tryRestore(key, bound).catch(() => false); // it does not answer
    if (isDone || tries <= 1) return;
    setTimeout(() => {
      this.#queue = this.#queue.then(() => this.#restore(key, bound, tries - 1));
    }, RETRY_MS).unref();
  }

  async #tryRestore(key: string, bound: Bound): Promise<boolean> {
    if (bound.holders > 0 || this.#bound.get(key) !== bound) return true;
    const release = await this.#session.hold();
    let isDone = false;
    const { promise: stopped, resolve } = Promise.withResolvers<void>();
    this.#restoring = async (frame, pause) => {
      isDone = await this.#putBack(frame, pause, key, bound).finally(resolve);
    };
    const late = setTimeout(resolve, RETRY_MS);
    try {
      // not at once: in an interrupt V8 may be where it cannot stop, see pauses.ts
      await this.#session.post("Runtime.callFunctionOn", {
        objectId: bound.stopper,
        functionDeclaration: LATER,
        silent: true,
      });
      await stopped;
      if (isDone) await this.#sweep(bound.scriptId);
    } finally {
      clearTimeout(late);
      this.#restoring = null;
      await release();
    }
    if (isDone) {
      for (const objectId of [bound.original, bound.wrapper, bound.stopper]) {
        await this.#session.settled("Runtime.releaseObject", { objectId });
      }
    }
    return isDone;
  }

  async #putBack(
    frame: Debugger.CallFrame,
    pause: Pause,
    key: string,
    bound: Bound,
  ): Promise<boolean> {
    const { original, wrapper, name } = bound;
    if (bound.holders > 0) return true; // a new trace came meanwhile
    const scopeNumber = await this.#scopeOf(frame, name);
    const { objectId } = await this.#evaluate(frame.callFrameId, name);
    const { result } = (await this.#session.post("Runtime.callFunctionOn", {
      objectId: wrapper,
      functionDeclaration: "function (other) { return this === other; }",
      arguments: [objectId === undefined ? { value: null } : { objectId }],
    })) as Runtime.CallFunctionOnReturnType; // as above
    this.#mustStand(pause);
    // else the application has bound it to something else since
    if (result.value === true) {
      await this.#set(pause, {
        callFrameId: frame.callFrameId,
        scopeNumber,
        variableName: name,
        newValue: { objectId: original },
      });
    }
    this.#bound.delete(key);
    return true;
  }

  /** Makes V8 forget what it has compiled of a script, and of ES modules that import from it. */
  async #sweep(scriptId: string): Promise<void> {
    for (const each of [scriptId, ...(await this.#session.importersOf(scriptId))]) {
      const places = await this.#session.returnsOf(each);
      const set: string[] = [];
      for (const location of places.slice(0, SWEPT_MAX)) {
        const made = await this.#session
          .post("Debugger.setBreakpoint", { location, condition: "false" })
          .catch(() => null); // another breakpoint is there: it does the same
        // as the protocol describes the answer
        if (made !== null) set.push((made as Debugger.SetBreakpointReturnType).breakpointId);
      }
      for (const breakpointId of set) {
        await this.#session.settled("Debugger.removeBreakpoint", { breakpointId });
      }
    }
  }
}
