/**
 * What the main thread is doing now: its stack, busy or idle.
 *
 * ```
 *   waits in epoll -----------------------------------> idle
 *   held within the limit: frames, variables, awaits -> running (or paused, by somebody else)
 *   otherwise ----------------------------------------> native
 * ```
 */
import { readFileSync } from "node:fs";
import type { Debugger, Runtime } from "node:inspector";
import { ROUTE_CHANNEL, isSecretName, maskTarget } from "../base/mod.ts";
import type { MainStack, StackFrame } from "../base/mod.ts";
import { channelOf } from "./line-session.ts";
import type { Held, MainSession } from "./main-session.ts";
import { OURS } from "./source-maps.ts";
import type { SourceMaps } from "./source-maps.ts";
import { describe } from "./values.ts";

const FRAMES_MAX = 64;
/** Innermost frames of the application whose variables are shown. */
const FRAMES_WITH_VARIABLES = 4;
const VARIABLES_MAX = 16;
/** Scopes that are not of one function, nor of those around it. */
const SHARED_SCOPES: readonly string[] = ["module", "global", "script"];
const TARGET_CHARACTERS_MAX = 200;
/** What Node gives to the body of each CommonJS module: says nothing about it. */
const MODULE_PARAMETERS: readonly string[] = [
  "exports",
  "require",
  "module",
  "__filename",
  "__dirname",
];
/** A main thread that has been silent for longer is not waiting for events, even if in epoll. */
const IDLE_SILENCE_MAX_MS = 400;
const TIMERS_FILE = "node:internal/timers";
/** epoll_wait and epoll_pwait (asm/unistd.h). */
const EPOLL_CALLS: Readonly<Partial<Record<string, readonly string[]>>> = {
  x64: ["232", "281"],
  arm64: ["22"],
};

/**
 * The stack as V8 formats it, for the lines of functions that await: their frames are not on the
 * machine's stack.
 */
const ASYNC_STACK = `(() => {
  const limit = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit");
  if (limit === undefined || limit.writable !== true) return String(new Error().stack);
  Error.stackTraceLimit = 50;
  const { stack } = new Error();
  Object.defineProperty(Error, "stackTraceLimit", limit);
  return String(stack);
})()`;

/** On a request that was met in the stack, or on nothing. */
const ASK_ROUTE = `function () {
  const isRequest = this !== undefined && this !== globalThis;
  const message = isRequest ? { request: this } : {};
  ${channelOf(ROUTE_CHANNEL)}.publish(message);
  return message.answer;
}`;

/** A request that was met in the stack: `GET /a`, and where the object is in the session. */
interface MetRequest {
  readonly text: string;
  readonly objectId: string;
}

/** See the file's docstring. */
export async function mainStack(
  session: MainSession,
  maps: SourceMaps,
  options: { readonly variables: boolean; readonly silentMs: number },
): Promise<MainStack> {
  const nobody = { requestSeen: null, route: null };
  const nothing = { frames: [], awaitedBy: [], ...nobody, framesMore: 0, heldMs: 0 };
  if (options.silentMs < IDLE_SILENCE_MAX_MS && waitsForEvents()) {
    return { state: "idle", ...nothing };
  }
  // the answer does not wait for the end of the pause
  const { promise, resolve, reject } = Promise.withResolvers<MainStack | null>();
  const look = async (held: Held): Promise<void> => {
    resolve(await read(session, maps, held, options.variables));
  };
  session.held(look).then(() => resolve(null), reject);
  const stack = await promise;
  if (stack === null) return { state: "native", ...nothing };
  // it was idle, and the first that came along was our own heartbeat, or what the reactor has sent
  const isIdle = stack.state === "running" && options.silentMs < IDLE_SILENCE_MAX_MS;
  return isIdle && isOurs(stack.frames) ? { state: "idle", ...nothing } : stack;
}

/** All is asked at once: another debugger of the process may end the pause in between. */
async function read(
  session: MainSession,
  maps: SourceMaps,
  held: Held,
  withVariables: boolean,
): Promise<MainStack> {
  const { paused, isOurs, scripts } = held;
  const from = performance.now();
  const [top] = paused.callFrames;
  const awaits = top === undefined ? Promise.resolve([]) : awaiting(session, top, scripts);
  let described = 0;
  const looks = paused.callFrames.slice(0, FRAMES_MAX).map(async (callFrame) => {
    const frame = frameOf(callFrame, maps, scripts);
    const isTheirs = !frame.file.startsWith("node:") && !frame.file.startsWith(OURS);
    if (!withVariables || !isTheirs || described >= FRAMES_WITH_VARIABLES) return { frame };
    described += 1;
    const scopes = await unlessLetGo(held, scopesOf(session, callFrame), null);
    if (scopes === null) return { frame };
    return { frame: { ...frame, variables: scopes.variables }, requests: scopes.requests };
  });
  const [awaitedBy, ...seen] = await Promise.all([unlessLetGo(held, awaits, []), ...looks]);
  const frames: readonly StackFrame[] = seen.map(({ frame }) => frame);
  const met = seen.flatMap(({ requests = [] }) => requests);
  const requests = new Map(met.map((each) => [each.text, each]));
  const [only = null] = requests.size === 1 ? requests.values() : [];
  return {
    state: isOurs ? "running" : "paused",
    frames,
    awaitedBy,
    requestSeen: only?.text ?? null,
    route: isOurs ? await unlessLetGo(held, routeOf(session, only), null) : null,
    framesMore: Math.max(0, paused.callFrames.length - FRAMES_MAX),
    heldMs: Math.round(10 * (performance.now() - from)) / 10,
  };
}

/** What cannot be read any more because another debugger has ended the pause is left out. */
async function unlessLetGo<T>(held: Held, reading: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (held.isLetGo()) return otherwise;
    throw error;
  }
}

/** A frame of the protocol as one of the source. */
export function frameOf(
  { functionName, location, url }: Debugger.CallFrame,
  maps: SourceMaps,
  scripts: Held["scripts"],
): StackFrame {
  const script = scripts.get(location.scriptId) ?? { url, sourceMapUrl: "" };
  const position = maps.position(script, location.lineNumber, location.columnNumber ?? 0);
  return { name: functionName, ...position };
}

/** The variables of a function, and the requests that it can reach: also by those around it. */
async function scopesOf(
  session: MainSession,
  { scopeChain }: Debugger.CallFrame,
): Promise<{
  readonly variables: readonly (readonly [string, string])[];
  readonly requests: readonly MetRequest[];
}> {
  const shared = scopeChain.findIndex(({ type }) => SHARED_SCOPES.includes(type));
  const reachable = scopeChain.slice(0, shared < 0 ? undefined : shared);
  // what follows the function's own scope is shared by others; a module's body has none
  const local = reachable.findIndex(({ type }) => type === "local" || type === "closure");
  const own = local < 0 ? reachable.length : local + Number(reachable[local]?.type === "local");
  const scopes = await Promise.all(
    reachable.map(async ({ object: { objectId } }, index) => {
      if (objectId === undefined) return [];
      return propertiesOf(session, objectId, index < own);
    }),
  );
  const found = scopes.flat().flatMap(({ value }) => {
    return value?.className === "IncomingMessage" ? (value.objectId ?? []) : [];
  });
  const met = await Promise.all(found.map((objectId) => requestAt(session, objectId)));
  const requests = met.filter((each) => each !== null);
  const texts = new Map(requests.map(({ objectId, text }) => [objectId, text]));
  const variables = scopes.slice(0, own).flatMap((properties) => {
    return ownOf(properties).flatMap(({ name, value }) => {
      if (value === undefined) return [];
      const request = texts.get(value.objectId ?? "");
      const isShown = request !== undefined && !isSecretName(name);
      const text = isShown ? `IncomingMessage ${request}` : describe(name, value);
      return [[name, text] as const];
    });
  });
  return { variables: variables.slice(0, VARIABLES_MAX), requests };
}

/** Without what every module's body has. */
function ownOf(
  properties: readonly Runtime.PropertyDescriptor[],
): readonly Runtime.PropertyDescriptor[] {
  const isModule = MODULE_PARAMETERS.every((each) => properties.some(({ name }) => name === each));
  const own = isModule
    ? properties.filter(({ name }) => !MODULE_PARAMETERS.includes(name))
    : properties;
  return own.slice(0, VARIABLES_MAX);
}

/** A response that the application has asked for is none. */
async function requestAt(session: MainSession, objectId: string): Promise<MetRequest | null> {
  const members = await propertiesOf(session, objectId, false);
  const textOf = (name: string): unknown => {
    return members.find((each) => each.name === name)?.value?.value;
  };
  const [method, url] = [textOf("method"), textOf("url")];
  if (typeof method !== "string" || typeof url !== "string" || url === "") return null;
  const text = `${method} ${maskTarget(url).slice(0, TARGET_CHARACTERS_MAX)}`;
  return { text, objectId };
}

/** What the request that is being executed, or the one that was met, is counted under. */
async function routeOf(session: MainSession, met: MetRequest | null): Promise<string | null> {
  const asked =
    met === null
      ? session.post("Runtime.evaluate", { expression: `(${ASK_ROUTE})()`, silent: true })
      : session.post("Runtime.callFunctionOn", {
          objectId: met.objectId,
          functionDeclaration: ASK_ROUTE,
          silent: true,
        });
  // as the protocol describes both answers
  const { result } = (await asked) as { result: Runtime.RemoteObject };
  return typeof result.value === "string" ? result.value.slice(0, TARGET_CHARACTERS_MAX) : null;
}

async function propertiesOf(
  session: MainSession,
  objectId: string,
  generatePreview: boolean,
): Promise<readonly Runtime.PropertyDescriptor[]> {
  const options = { objectId, ownProperties: true, generatePreview };
  // as the protocol describes the answer
  const answer = (await session.post(
    "Runtime.getProperties",
    options,
  )) as Runtime.GetPropertiesReturnType;
  return answer.result;
}

async function awaiting(
  session: MainSession,
  { callFrameId }: Debugger.CallFrame,
  scripts: Held["scripts"],
): Promise<readonly string[]> {
  if (await formatsStacks(session, callFrameId, scripts)) return [];
  const options = { callFrameId, expression: ASYNC_STACK, silent: true, timeout: 50 };
  // as the protocol describes the answer
  const { result } = (await session.post("Debugger.evaluateOnCallFrame", options)) as {
    result: Runtime.RemoteObject;
  };
  const lines = typeof result.value === "string" ? result.value.split("\n") : [];
  return lines.flatMap((line) => /^ {4}at (async .*)$/.exec(line)?.[1] ?? []);
}

/** Whether the application formats stacks itself: asking for one would run its code. */
async function formatsStacks(
  session: MainSession,
  callFrameId: string,
  scripts: Held["scripts"],
): Promise<boolean> {
  const expression = "Error.prepareStackTrace";
  const quiet = { silent: true, throwOnSideEffect: true, timeout: 50 };
  const options = { callFrameId, expression, ...quiet };
  // as the protocol describes the answers
  const { result } = (await session.post("Debugger.evaluateOnCallFrame", options)) as {
    result: Runtime.RemoteObject;
  };
  if (result.type !== "function" || result.objectId === undefined)
    return result.type !== "undefined";
  const { objectId } = result;
  const own = { objectId, ownProperties: true };
  const { internalProperties = [] } = (await session.post(
    "Runtime.getProperties",
    own,
  )) as Runtime.GetPropertiesReturnType;
  const place = internalProperties.find(({ name }) => name === "[[FunctionLocation]]");
  const { scriptId = "" } = (place?.value?.value ?? {}) as { scriptId?: string };
  return scripts.get(scriptId)?.url.startsWith("node:") !== true; // Node has one of its own
}

/**
 * Nothing of the application's is on the stack, and something of Holdfast's is; or nothing but
 * Node's beginning with the timers that are due, one of which is always our heartbeat.
 */
function isOurs(frames: readonly StackFrame[]): boolean {
  const others = frames.filter(({ file }) => !file.startsWith("node:"));
  if (frames.length > 0 && frames.every(({ file }) => file === TIMERS_FILE)) return true;
  return others.length > 0 && others.every(({ file }) => file.startsWith(OURS));
}

/** Whether the main thread is in epoll; false where the kernel does not tell. */
export function waitsForEvents(): boolean {
  try {
    // the main thread's id is the process's (proc_pid_syscall(5))
    const text = readFileSync(`/proc/self/task/${process.pid}/syscall`, "utf8");
    return (EPOLL_CALLS[process.arch] ?? []).includes(text.split(" ")[0] ?? "");
  } catch {
    return false; // hidden by the permission model or the kernel: it is held to find out
  }
}
