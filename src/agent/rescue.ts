/**
 * Ends a loop that does not end, without ending the process: an exception in the guilty frame.
 *
 * ```
 *   hold --> optimised? --yes--> step into (then it is interpreted) --+
 *                  +---no---------------------------------------------+--> poison the locals --> go
 * ```
 * Every local variable of the innermost frame is replaced by a Proxy whose traps all throw. The
 * next use of any of them is an ordinary exception there: `finally` runs, the framework answers
 * 500, promises reject. Only the function's own scope is touched, what it shares with others is
 * not. V8 refuses to set variables of an optimised frame, which is how one is recognised.
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
  readonly value: Runtime.RemoteObject;
}

/** See the file's docstring. */
export async function rescue(session: MainSession): Promise<RescueResult> {
  const result = await session.held((held) => poison(session, held));
  return result ?? { done: false, how: "the main thread could not be held" };
}

async function poison(session: MainSession, held: Held): Promise<RescueResult> {
  if (!held.isOurs) return { done: false, how: "a debugger holds the main thread" };
  const urlOf = ({ url, location: { scriptId } }: Debugger.CallFrame): string => {
    return held.scripts.get(scriptId)?.url ?? url;
  };
  const step = async (method: "stepInto" | "stepOut"): Promise<Debugger.CallFrame | undefined> => {
    const stepped = session.nextPause(STEP_LIMIT_MS);
    await session.post(`Debugger.${method}`);
    return (await stepped)?.callFrames[0];
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
  let variables = await localsOf(session, top);
  if (await isOptimised(session, top, variables)) {
    top = await outward(await step("stepInto"));
    if (top === undefined) return { done: false, how: "the optimised frame did not take a step" };
    variables = await localsOf(session, top);
  }
  const { functionName, location } = top;
  const name = functionName === "" ? "(anonymous)" : functionName;
  const where = `${name} (${pathOf(urlOf(top))}:${location.lineNumber + 1})`;
  const count = await setAll(session, top, variables);
  if (count === 0) return { done: false, how: `${where} has no local variable` };
  return { done: true, how: `an exception in ${where}, by ${count} of its variables` };
}

async function setAll(
  session: MainSession,
  { callFrameId }: Debugger.CallFrame,
  variables: readonly Variable[],
): Promise<number> {
  // as the protocol describes the answer
  const { result } = (await session.post("Runtime.evaluate", { expression: POISON })) as {
    result: Runtime.RemoteObject;
  };
  if (result.objectId === undefined) return 0;
  const newValue = { objectId: result.objectId };
  let count = 0;
  for (const { scopeNumber, name: variableName } of variables) {
    const options = { scopeNumber, variableName, newValue, callFrameId };
    const isSet = await session.post("Debugger.setVariableValue", options).then(
      () => true,
      () => false, // e.g. one that is not initialised yet
    );
    if (isSet) count += 1;
  }
  return count;
}

async function localsOf(
  session: MainSession,
  { scopeChain }: Debugger.CallFrame,
): Promise<readonly Variable[]> {
  const variables: Variable[] = [];
  for (const [scopeNumber, { type, object }] of scopeChain.entries()) {
    if (type !== "local" && type !== "block" && type !== "catch") break;
    const { objectId } = object;
    if (objectId === undefined) continue;
    const options = { objectId, ownProperties: true };
    // as the protocol describes the answer
    const answer = (await session.post(
      "Runtime.getProperties",
      options,
    )) as Runtime.GetPropertiesReturnType;
    for (const { name, value } of answer.result) {
      if (value !== undefined && name !== "this") variables.push({ scopeNumber, name, value });
    }
    if (type === "local") break;
  }
  return variables.slice(0, VARIABLES_MAX);
}

/** Writes one variable back to itself: V8 does not do that in an optimised frame. */
async function isOptimised(
  session: MainSession,
  { callFrameId }: Debugger.CallFrame,
  [first]: readonly Variable[],
): Promise<boolean> {
  if (first === undefined) return false;
  const { scopeNumber, name: variableName, value } = first;
  const options = { scopeNumber, variableName, newValue: argumentOf(value), callFrameId };
  return session.post("Debugger.setVariableValue", options).then(
    () => false,
    () => true,
  );
}

function argumentOf({ objectId, unserializableValue, value }: Runtime.RemoteObject): object {
  if (objectId !== undefined) return { objectId };
  if (unserializableValue !== undefined) return { unserializableValue };
  return value === undefined ? {} : { value: value as unknown };
}

function isInternal(url: string): boolean {
  return url === "" || url.startsWith("node:");
}
