/**
 * Puts the agent into a running Node process, also into one that spins: by Node's inspector, whose
 * port is open for some ten to a hundred milliseconds.
 *
 * ```
 *   SIGUSR1 --> port on the loopback --WebSocket--> new Worker(agent), inspector.close() --> shut
 * ```
 * While the port is open any user of this machine who finds it can run code in the process, as with
 * `kill -USR1` by hand.
 */
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { AGENT_OPTIONS, entryUrl } from "../base/mod.ts";
import { NODE_MIN, attachError, listening } from "./attach-target.ts";

const PORT_LIMIT_MS = 3000;
const ANSWER_LIMIT_MS = 5000;
const LOOK_MS = 2;
/** After the loop turns again. */
const CLOSE_AGAIN_MS = 20;
const CLOSE_AGAIN_TIMES = 10;
/** The second is the console's own, where Node is too old for the first. */
const LOAD = "process.getBuiltinModule ?? require";

/**
 * What is evaluated in the main thread: it starts the agent, whose files are loaded in its thread,
 * so that the port need not wait. In one that spins, Node opens the inspector a second time when
 * the loop turns again (the signal has asked by two ways), so it is looked at some times then.
 */
function expressionOf(socketPath: string, mayClose: boolean): string {
  const agent = entryUrl(import.meta.url, "../agent/main.ts").href;
  const options = { ...AGENT_OPTIONS, workerData: { socketPath } };
  return `(() => {
    const load = ${LOAD};
    const inspector = load("node:inspector");
    const { setTimeout } = load("node:timers");
    const close = (times) => {
      if (inspector.url() !== undefined) inspector.close();
      if (times > 0) setTimeout(close, ${CLOSE_AGAIN_MS}, times - 1).unref();
    };
    if (${mayClose}) setTimeout(close, 0, ${CLOSE_AGAIN_TIMES}).unref();
    const [major, minor] = process.versions.node.split(".").map(Number);
    const [wantedMajor, wantedMinor] = ${JSON.stringify(NODE_MIN)};
    const isOld = major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
    if (isOld) return "it runs Node " + process.versions.node + ", and " +
      wantedMajor + "." + wantedMinor + " or newer is needed";
    if (process.permission?.has("inspector") === false)
      return "its permission model allows no inspector (--allow-inspector)";
    try {
      const { Worker } = load("node:worker_threads");
      const { URL } = load("node:url");
      const thread = new Worker(new URL(${JSON.stringify(agent)}), ${JSON.stringify(options)});
      thread.on("error", () => undefined);
      thread.unref();
      return "";
    } catch (error) {
      return String(error);
    }
  })()`;
}

/** @returns for how long the port was open, in milliseconds; 0: it was open before and still is */
export async function inject(pid: number, socketPath: string): Promise<number> {
  const before = listening(pid);
  const already = await inspectorAmong(before);
  const from = performance.now();
  if (already === null) process.kill(pid, "SIGUSR1");
  const url = already ?? (await opened(pid, before));
  const socket = new WebSocket(url, { perMessageDeflate: false });
  let problem: unknown;
  try {
    problem = await evaluate(socket, 1, expressionOf(socketPath, already === null));
    if (already === null) {
      const close = `(${LOAD})("node:inspector").close()`;
      // it waits until we have left: nothing is answered
      socket.send(message(2, close), () => socket.terminate());
    }
  } finally {
    if (already !== null) socket.terminate();
  }
  if (already === null) {
    const port = Number(new URL(url).port);
    await until(() => !listening(pid).includes(port), `the inspector of ${pid} does not close`);
  }
  if (problem !== "") throw attachError(`Cannot attach to process ${pid}: ${String(problem)}.`);
  return already === null ? performance.now() - from : 0;
}

/** The inspector's address, once it is open. */
async function opened(pid: number, before: readonly number[]): Promise<string> {
  const problem = `process ${pid} did not open its inspector after SIGUSR1`;
  let found: string | null = null;
  await until(async () => {
    const fresh = listening(pid).filter((port) => !before.includes(port));
    found = fresh.length === 0 ? null : await inspectorAmong(fresh);
    return found !== null;
  }, problem);
  return found ?? "";
}

async function until(holds: () => boolean | Promise<boolean>, problem: string): Promise<void> {
  const end = performance.now() + PORT_LIMIT_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw attachError(`Cannot attach: ${problem}.`);
    await sleep(LOOK_MS);
  }
}

/** The debugger's address of the first port that is an inspector's. */
async function inspectorAmong(ports: readonly number[]): Promise<string | null> {
  for (const port of ports) {
    const text = await textAt(port);
    const [, url = null] = /"webSocketDebuggerUrl":\s*"(ws:[^"]+)"/.exec(text) ?? [];
    if (url !== null) return url;
  }
  return null;
}

/** `/json/list` of an inspector; empty for whatever else listens there. */
function textAt(port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const request = http.get({ host: "127.0.0.1", port, path: "/json/list", agent: false });
  request.setTimeout(500, () => request.destroy());
  request.on("error", () => resolve(""));
  request.on("response", (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    response.on("close", () => resolve(text.length > 65_536 ? "" : text));
  });
  return promise;
}

function message(id: number, expression: string): string {
  const params = { expression, returnByValue: true, silent: true, includeCommandLineAPI: true };
  return JSON.stringify({ id, method: "Runtime.evaluate", params });
}

function evaluate(socket: WebSocket, id: number, expression: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const late = attachError("Cannot attach: the process did not answer its inspector.");
  const timer = setTimeout(() => reject(late), ANSWER_LIMIT_MS);
  socket.on("error", reject);
  socket.on("open", () => socket.send(message(id, expression)));
  socket.on("message", (data: Buffer) => {
    // Chrome DevTools Protocol
    const answer = JSON.parse(data.toString()) as {
      readonly id?: number;
      readonly result?: { readonly result?: { readonly value?: unknown } };
    };
    if (answer.id === id) resolve(answer.result?.result?.value);
  });
  return promise.finally(() => clearTimeout(timer));
}
