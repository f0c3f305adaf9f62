/**
 * Ends a loop that does not end, without ending the process: an exception in the guilty frame.
 *
 * ```
 *   hold --> poison the first local --done--> and the others ----------------------> go
 *     |        +--refused: the frame is optimised--> step into, interpreted: all of them --^
 *     |                                               |         +--not in it: nothing is touched
 *     +--another debugger ends the pause---------+    +--V8 does not stop
 *                                                v    v
 *                            in the condition of breakpoints, which do not pause
 * ```
 * Every local variable of the innermost frame is replaced by a Proxy whose traps all throw. The
 * next use of any of them is an ordinary exception there: `finally` runs, the framework answers
 * 500, promises reject. Only the function's own scope is touched, what it shares with others is
 * not. V8 refuses to set variables of an optimised frame, which is how one is recognised; of those
 * that it has optimised away it does not even tell, so one without any is asked again after a step.
 *
 * Debuggers that end every pause which they do not know (pauses.ts) leave a millisecond, which is
 * hardly ever enough. A breakpoint whose condition is false is no pause. The condition is carried
 * out in the frame, and may set its variables; the breakpoint takes an optimised frame back to the
 * interpreter. They are set wherever the guilty function can stop; the first that is met does it.
 *
 * What it cannot end: a frame without locals, a loop that catches everything, native code.
 */
import type { Debugger, Runtime } from "node:inspector";
import { ROUTE_CHANNEL } from "../base/mod.ts";
import type { RescueResult } from "../base/mod.ts";
import { channelOf } from "./line-session.ts";
import type { Held, MainSession } from "./main-session.ts";
import { OURS, pathOf } from "./source-maps.ts";

/** For the step that takes an optimised frame back to the interpreter. */
const STEP_LIMIT_MS = 250;
/** Frames of Node's between the application's and where it is held. */
const STEPS_OUT_MAX = 4;
const VARIABLES_MAX = 64;
const TRIES_MAX = 3;
/** Places in a function at which it can stop. */
const PLACES_MAX = 64;
/** For a loop to come by one of them. */
const MET_LIMIT_MS = 300;
const MET_LOOK_MS = 10;
/** Where the condition finds what it needs, while it is wanted; nobody enumerates it. */
const ORDER = `Symbol.for("holdfast.rescue")`;
/** One a declaration: constants cannot be set. */
const DECLARATION = /\b(?:let|var)\s+([\p{ID_Start}$_][\p{ID_Continue}$]*)/gu;
/** No names of variables in strict code, in which they are set. */
const STRICT =
  /^(arguments|await|eval|implements|interface|let|package|private|protected|public|static|yield)$/;
const GONE_ON: RescueResult = { done: false, how: "it has gone on meanwhile" };
const NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/** Made in the main thread, so that the error is one of its own. */
const POISON = `(() => {
  const message = "Holdfast ended this function: it kept the worker from making progress";
  const fail = () => {
    const error = new Error(message);
    error.code = "ERR_HOLDFAST_STALLED";
    throw error;
  };
  return new Proxy(function () {}, new Proxy({}, { get: () => fail }));
})()`;

interface Variable {
  readonly scopeNumber: number;
  readonly name: string;
}

type Stack = readonly Debugger.CallFrame[];

/** See the file's docstring. */
export async function rescue(session: MainSession, progress: string): Promise<RescueResult> {
  for (let tries = 1; ; tries += 1) {
    try {
      const result = await session.held((held) => poison(session, held, progress));
      return result ?? { done: false, how: "the main thread could not be held" };
    } catch (error) {
      // what the pause had made went with one of another debugger's, who looks at exceptions
      if (tries === TRIES_MAX) throw error;
    }
  }
}

async function poison(session: MainSession, held: Held, progress: string): Promise<RescueResult> {
  if (!held.isOurs) return { done: false, how: "a debugger holds the main thread" };
  const urlOf = urls(held);
  const frame = held.paused.callFrames.find((each) => kindOf(urlOf(each)) !== "inner");
  if (frame === undefined) return GONE_ON;
  // who does not answer is left alone
  const isThere = stands(session, progress).catch(() => false);
  const trying = tryToPoison(session, held, isThere);
  // at once: what the pause has made goes with it, if it is a step of ours that ends it
  const names = namesIn(session, frame).catch(() => []);
  let failed: RescueResult | null = null;
  try {
    failed = await trying;
    if (failed.done || failed === GONE_ON || !held.isLetGo()) return failed;
  } catch (error) {
    if (!held.isLetGo()) throw error;
  }
  if (!(await isThere)) return GONE_ON;
  const unseen = await poisonUnseen(session, frame, urlOf(frame), await names);
  return unseen.done ? unseen : (failed ?? unseen);
}

/** The loop may have come to its end since the rescue was asked for: then nobody is guilty. */
async function stands(session: MainSession, progress: string): Promise<boolean> {
  const publish = `${channelOf(ROUTE_CHANNEL)}.publish(message)`;
  const asks = `((message) => { ${publish}; return message.answer; })({ asks: "progress" })`;
  return (await evaluated(session, asks)) === progress;
}

/** Without a pause. */
async function poisonUnseen(
  session: MainSession,
  frame: Debugger.CallFrame,
  url: string,
  names: readonly string[],
): Promise<RescueResult> {
  if (names.length === 0) return resultOf(frame, url, 0);
  const sets = names.map((name) => `try { ${name} = $order.poison; $order.count++; } catch {}`);
  // strict: a name that is not there at this place makes no global one
  const condition = `(function ($order) { "use strict";
    if ($order === undefined || $order.count > 0) return false;
    ${sets.join("\n")}
    return false;
  })(globalThis[${ORDER}])`;
  const order = `{ poison: ${POISON}, count: 0 }`;
  const value = `{ value: ${order}, configurable: true }`;
  await evaluated(session, `void Object.defineProperty(globalThis, ${ORDER}, ${value})`);
  try {
    for (const location of await placesOf(session, frame)) {
      // one that has no code is left out
      await session.post("Debugger.setBreakpoint", { location, condition }).catch(() => undefined);
    }
    const until = performance.now() + MET_LIMIT_MS;
    for (;;) {
      const count = Number(await evaluated(session, `globalThis[${ORDER}].count`));
      if (count > 0 || performance.now() > until) return resultOf(frame, url, count);
      await new Promise((resolve) => setTimeout(resolve, MET_LOOK_MS));
    }
  } finally {
    // the breakpoints go with the Debugger domain, when the pause is over
    await evaluated(session, `delete globalThis[${ORDER}]`).catch(() => undefined);
  }
}

/** What may be set in a function. */
async function namesIn(
  session: MainSession,
  frame: Debugger.CallFrame,
): Promise<readonly string[]> {
  const [locals, declared] = await Promise.all([
    localsOf(session, frame),
    declaredIn(session, frame),
  ]);
  const own = locals.map(({ name }) => name).filter((name) => NAME.test(name));
  const all = [...own, ...declared].filter((name) => !STRICT.test(name));
  return [...new Set(all)].slice(0, VARIABLES_MAX);
}

/**
 * What a function declares, by its text: at the end of a loop V8 knows none of the variables of its
 * head. Not what those around it have as well, which are shared: the name may be of an inner one.
 */
async function declaredIn(
  session: MainSession,
  { location: { scriptId }, scopeChain }: Debugger.CallFrame,
): Promise<readonly string[]> {
  const local = scopeChain.findIndex(({ type }) => type === "local");
  const { startLocation, endLocation } = scopeChain[local] ?? {};
  if (startLocation === undefined || endLocation === undefined) return [];
  const answer = await session.post("Debugger.getScriptSource", { scriptId });
  const { scriptSource } = answer as Debugger.GetScriptSourceReturnType; // as the protocol says
  const text = between(scriptSource.split("\n"), startLocation, endLocation);
  const found = [...text.matchAll(DECLARATION)].map(([, name = ""]) => name);
  const around = await Promise.all(
    scopeChain.slice(local + 1).map(({ object }) => namesOf(session, object)),
  );
  const shared = new Set(around.flat());
  return found.filter((name) => !shared.has(name));
}

async function namesOf(
  session: MainSession,
  { objectId }: Runtime.RemoteObject,
): Promise<readonly string[]> {
  if (objectId === undefined) return [];
  const options = { objectId, ownProperties: true };
  const answer = await session.post("Runtime.getProperties", options);
  const { result } = answer as Runtime.GetPropertiesReturnType; // as the protocol says
  return result.map(({ name }) => name);
}

function between(
  lines: readonly string[],
  start: Debugger.Location,
  end: Debugger.Location,
): string {
  const inner = lines.slice(start.lineNumber, end.lineNumber + 1);
  const last = inner.length - 1;
  return inner
    .map((line, at) => {
      const to = at === last ? end.columnNumber : undefined;
      return line.slice(at === 0 ? start.columnNumber : 0, to);
    })
    .join("\n");
}

/** Where a function can stop; where V8 does not tell, behind the place at which it is. */
async function placesOf(
  session: MainSession,
  { functionLocation, location }: Debugger.CallFrame,
): Promise<readonly Debugger.Location[]> {
  const options = { start: functionLocation ?? location, restrictToFunction: true };
  // as the protocol describes the answer
  const { locations } = (await session.post(
    "Debugger.getPossibleBreakpoints",
    options,
  )) as Debugger.GetPossibleBreakpointsReturnType;
  const places = locations
    .slice(0, PLACES_MAX)
    .map(({ scriptId, lineNumber, columnNumber = 0 }) => {
      return { scriptId, lineNumber, columnNumber };
    });
  return [location, ...places];
}

async function evaluated(session: MainSession, expression: string): Promise<unknown> {
  const options = { expression, returnByValue: true, silent: true };
  // as the protocol describes the answer
  const { result } = (await session.post("Runtime.evaluate", options)) as {
    result: Runtime.RemoteObject;
  };
  return result.value;
}

function urls({ scripts }: Held): (frame: Debugger.CallFrame) => string {
  return ({ url, location: { scriptId } }) => scripts.get(scriptId)?.url ?? url;
}

async function tryToPoison(
  session: MainSession,
  held: Held,
  isThere: Promise<boolean>,
): Promise<RescueResult> {
  const urlOf = urls(held);
  const step = async (method: "stepInto" | "stepOut"): Promise<Stack> => {
    const stepped = session.nextPause(STEP_LIMIT_MS);
    await session.post(`Debugger.${method}`);
    const paused = await stepped;
    // another debugger may have ended the pause, and something else have begun one
    const isStep = paused?.reason === "other" || paused?.reason === "step";
    return isStep ? paused.callFrames : [];
  };
  /** Out of what the application has called, to its own frame. */
  const outward = async (stack: Stack): Promise<Stack> => {
    let at = stack;
    for (let depth = 0; at[0] !== undefined && isInternal(urlOf(at[0])); depth += 1) {
      at = depth < STEPS_OUT_MAX ? await step("stepOut") : [];
    }
    return at;
  };
  const stack = await outward(held.paused.callFrames);
  const [top] = stack;
  if (top === undefined) return { done: false, how: "it is in Node's own code" };
  // as the protocol describes the answer; asked at once, as the pause may be ended by others
  const made = session.post("Runtime.evaluate", { expression: POISON });
  const [poisoned, locals, isSame] = await Promise.all([made, localsOf(session, top), isThere]);
  if (!isSame) return GONE_ON;
  const { objectId = "" } = (poisoned as { result: Runtime.RemoteObject }).result;
  const [first, ...rest] = locals;
  let count =
    first === undefined || held.isLetGo() ? 0 : await setAll(session, top, [first], objectId);
  if (count > 0) count += await setAll(session, top, rest, objectId);
  if (count > 0 || held.isLetGo()) return resultOf(top, urlOf(top), count);
  // an optimised frame, where V8 sets none; what is not in it must not be set before the step. At
  // the end of a loop it knows none of those of the loop's own head either
  const [stepped, ...others] = await outward(await step("stepInto"));
  if (stepped === undefined) {
    if (first === undefined) return resultOf(top, urlOf(top), 0);
    return { done: false, how: "the optimised frame did not take a step" };
  }
  if (!isWithin([stepped, ...others], stack, urlOf)) {
    return GONE_ON;
  }
  const interpreted = await localsOf(session, stepped);
  count = held.isLetGo() ? 0 : await setAll(session, stepped, interpreted, objectId);
  return resultOf(stepped, urlOf(stepped), count);
}

/**
 * Whether a step has led to what spins: the function it was in, one that it has called, or one
 * of the same code that has called it (a loop's helper returns). Beyond that the loop was none, and
 * what is there is Node's, Holdfast's, a library's, or belongs to another request.
 */
function isWithin(stack: Stack, guilty: Stack, urlOf: (frame: Debugger.CallFrame) => string) {
  const kinds = guilty.map((frame) => kindOf(urlOf(frame)));
  const run = kinds.findIndex((kind) => kind !== kinds[0]);
  const outer = guilty.slice(run < 0 ? -1 : run - 1);
  if (stack.length < outer.length) return false;
  return outer.every((frame, index) => {
    const other = stack[stack.length - outer.length + index];
    return other !== undefined && placeOf(other) === placeOf(frame);
  });
}

function kindOf(url: string): "inner" | "library" | "application" {
  if (isInternal(url)) return "inner";
  return pathOf(url).includes("/node_modules/") ? "library" : "application";
}

/** Where the function of a frame is written. */
function placeOf({ functionLocation, location, functionName }: Debugger.CallFrame): string {
  const { lineNumber = -1, columnNumber = -1 } = functionLocation ?? {};
  return `${location.scriptId}:${lineNumber}:${columnNumber}:${functionName}`;
}

function resultOf(
  { functionName, location }: Debugger.CallFrame,
  url: string,
  count: number,
): RescueResult {
  const name = functionName === "" ? "(anonymous)" : functionName;
  const where = `${name} (${pathOf(url)}:${location.lineNumber + 1})`;
  if (count === 0) return { done: false, how: `${where} has no local variable` };
  return { done: true, how: `an exception in ${where}, by ${count} of its variables` };
}

/** How many of them could be set. */
async function setAll(
  session: MainSession,
  { callFrameId }: Debugger.CallFrame,
  variables: readonly Variable[],
  objectId: string,
): Promise<number> {
  const sets = variables.map(({ scopeNumber, name: variableName }) => {
    const options = { scopeNumber, variableName, newValue: { objectId }, callFrameId };
    return session.post("Debugger.setVariableValue", options).then(
      () => 1,
      () => 0, // e.g. one that is not initialised yet
    );
  });
  return (await Promise.all(sets)).reduce((sum, each) => sum + each, 0);
}

async function localsOf(
  session: MainSession,
  { scopeChain }: Debugger.CallFrame,
): Promise<readonly Variable[]> {
  const own = scopeChain.slice(0, scopeChain.findIndex(({ type }) => type === "local") + 1);
  const found = own.map(async ({ object: { objectId } }, scopeNumber) => {
    if (objectId === undefined) return [];
    const options = { objectId, ownProperties: true };
    // as the protocol describes the answer
    const { result } = (await session.post(
      "Runtime.getProperties",
      options,
    )) as Runtime.GetPropertiesReturnType;
    const known = result.filter(({ name, value }) => value !== undefined && name !== "this");
    return known.map(({ name }) => ({ scopeNumber, name }));
  });
  return (await Promise.all(found)).flat().slice(0, VARIABLES_MAX);
}

/** Of Node, of Holdfast, or of nobody's file. */
function isInternal(url: string): boolean {
  return url === "" || url.startsWith("node:") || pathOf(url).startsWith(OURS);
}
