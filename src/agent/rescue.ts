/**
 * Ends a loop that does not end, without ending the process: an exception in the guilty frame.
 *
 * ```
 *   hold --> poison the first local --done--> and the others ----------------------> go
 *     |        +--refused: the frame is optimised--> step into, interpreted: all of them --^
 *     +--another debugger ends the pause--> in the condition of breakpoints, which do not pause
 * ```
 * Every local variable of the innermost frame is replaced by a Proxy whose traps all throw. The
 * next use of any of them is an ordinary exception there: `finally` runs, the framework answers
 * 500, promises reject. Only the function's own scope is touched, what it shares with others is
 * not. V8 refuses to set variables of an optimised frame, which is how one is recognised.
 *
 * Debuggers that end every pause which they do not know (pauses.ts) leave a millisecond, which is
 * hardly ever enough. A breakpoint whose condition is false is no pause. The condition is carried
 * out in the frame, and may set its variables; the breakpoint takes an optimised frame back to the
 * interpreter. They are set wherever the guilty function can stop; the first that is met does it.
 *
 * What it cannot end: a frame without locals, a loop that catches everything, native code.
 */
import type { Debugger, Runtime } from "node:inspector";
import type { RescueResult } from "../base/mod.ts";
import type { Held, MainSession } from "./main-session.ts";
import { pathOf } from "./source-maps.ts";

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

/** See the file's docstring. */
export async function rescue(session: MainSession): Promise<RescueResult> {
  for (let tries = 1; ; tries += 1) {
    try {
      const result = await session.held((held) => poison(session, held));
      return result ?? { done: false, how: "the main thread could not be held" };
    } catch (error) {
      // what the pause had made went with one of another debugger's, who looks at exceptions
      if (tries === TRIES_MAX) throw error;
    }
  }
}

async function poison(session: MainSession, held: Held): Promise<RescueResult> {
  if (!held.isOurs) return { done: false, how: "a debugger holds the main thread" };
  try {
    const result = await tryToPoison(session, held);
    if (result.done || !held.isLetGo()) return result;
  } catch (error) {
    if (!held.isLetGo()) throw error;
  }
  return poisonUnseen(session, held);
}

/** Without a pause. */
async function poisonUnseen(session: MainSession, held: Held): Promise<RescueResult> {
  const urlOf = urls(held);
  const frame = held.paused.callFrames.find((each) => !isInternal(urlOf(each)));
  if (frame === undefined) return { done: false, how: "it is in Node's own code" };
  // what the pause has made is there until we let go of it
  const locals = await localsOf(session, frame);
  const names = new Set(locals.map(({ name }) => name).filter((name) => NAME.test(name)));
  if (names.size === 0) return resultOf(frame, urlOf(frame), 0);
  const sets = [...names].map(
    (name) => `try { ${name} = $order.poison; $order.count++; } catch {}`,
  );
  const condition = `(($order) => {
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
      if (count > 0 || performance.now() > until) return resultOf(frame, urlOf(frame), count);
      await new Promise((resolve) => setTimeout(resolve, MET_LOOK_MS));
    }
  } finally {
    // the breakpoints go with the Debugger domain, when the pause is over
    await evaluated(session, `delete globalThis[${ORDER}]`).catch(() => undefined);
  }
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

async function tryToPoison(session: MainSession, held: Held): Promise<RescueResult> {
  const urlOf = urls(held);
  const step = async (method: "stepInto" | "stepOut"): Promise<Debugger.CallFrame | undefined> => {
    const stepped = session.nextPause(STEP_LIMIT_MS);
    await session.post(`Debugger.${method}`);
    const paused = await stepped;
    // another debugger may have ended the pause, and something else have begun one
    const isStep = paused?.reason === "other" || paused?.reason === "step";
    return isStep ? paused.callFrames[0] : undefined;
  };
  /** Out of what the application has called, to its own frame. */
  const outward = async (frame: Debugger.CallFrame | undefined): Promise<typeof frame> => {
    let at = frame;
    for (let depth = 0; at !== undefined && isInternal(urlOf(at)); depth += 1) {
      at = depth < STEPS_OUT_MAX ? await step("stepOut") : undefined;
    }
    return at;
  };
  let top = await outward(held.paused.callFrames[0]);
  if (top === undefined) return { done: false, how: "it is in Node's own code" };
  // as the protocol describes the answer; asked at once, as the pause may be ended by others
  const made = session.post("Runtime.evaluate", { expression: POISON });
  const [poisoned, locals] = await Promise.all([made, localsOf(session, top)]);
  const { objectId = "" } = (poisoned as { result: Runtime.RemoteObject }).result;
  const [first, ...rest] = locals;
  let count =
    first === undefined || held.isLetGo() ? 0 : await setAll(session, top, [first], objectId);
  if (count > 0) count += await setAll(session, top, rest, objectId);
  else if (first !== undefined && !held.isLetGo()) {
    // an optimised frame, where V8 sets none; what is not in it must not be set before the step
    top = await outward(await step("stepInto"));
    if (top === undefined) return { done: false, how: "the optimised frame did not take a step" };
    const interpreted = await localsOf(session, top);
    count = held.isLetGo() ? 0 : await setAll(session, top, interpreted, objectId);
  }
  return resultOf(top, urlOf(top), count);
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

function isInternal(url: string): boolean {
  return url === "" || url.startsWith("node:");
}
