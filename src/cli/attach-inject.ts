/**
 * Puts the agent into a running Node process, also into one that spins: by Node's inspector, whose
 * port is open for some ten milliseconds.
 *
 * ```
 *   SIGUSR1 --> port on the loopback --WebSocket--> inspector.close() --> new Worker(agent)
 * ```
 * While the port is open any user of this machine who finds it can run code in the process, as with
 * `kill -USR1` by hand.
 */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket, WebSocketServer } from "ws";
import { AGENT_OPTIONS, entryUrl } from "../base/mod.ts";
import type { ListeningSocket } from "../os/mod.ts";
import { NODE_MIN, attachError, listening, listeningAnywhere } from "./attach-target.ts";

const PORT_LIMIT_MS = 3000;
const ANSWER_LIMIT_MS = 5000;
const LOOK_MS = 1;
/** After the loop turns again. */
const CLOSE_AGAIN_MS = 20;
const CLOSE_AGAIN_TIMES = 10;
/** Of the loop, each time. */
const CLOSE_AGAIN_TURNS = 5;
/** The second is the console's own, where Node is too old for the first. */
const LOAD = "process.getBuiltinModule ?? require";
/** It waits until we have left. */
const CLOSE = `(${LOAD})("node:inspector").close()`;

/**
 * What is evaluated in the main thread: it shuts the port, and then starts the agent, whose files
 * are loaded in its thread. What is wrong is the answer while the port is open, and later the
 * content of a file, as the process may spin.
 *
 * In one that spins, Node opens the inspector again when the loop turns again (the signal has asked
 * by two ways, an interrupt and a handle; src/inspector_agent.cc): in the poll phase, so that an
 * immediate is next.
 */
function expressionOf(socketPath: string, mayClose: boolean): string {
  const agent = entryUrl(import.meta.url, "../agent/main.ts").href;
  const options = { ...AGENT_OPTIONS, workerData: { socketPath } };
  return `(() => {
    const load = ${LOAD};
    const inspector = load("node:inspector");
    const { setImmediate, setTimeout } = load("node:timers");
    const { writeFileSync } = load("node:fs");
    const close = () => { if (inspector.url() !== undefined) inspector.close(); };
    const turn = (times) => {
      close();
      if (times > 0) setImmediate(turn, times - 1).unref();
    };
    const again = (times) => {
      turn(${CLOSE_AGAIN_TURNS});
      if (times > 0) setTimeout(again, ${CLOSE_AGAIN_MS}, times - 1).unref();
    };
    if (${mayClose}) setTimeout(again, 0, ${CLOSE_AGAIN_TIMES}).unref();
    const [major, minor] = process.versions.node.split(".").map(Number);
    const [wantedMajor, wantedMinor] = ${JSON.stringify(NODE_MIN)};
    const isOld = major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
    if (isOld) return "it runs Node " + process.versions.node + ", and " +
      wantedMajor + "." + wantedMinor + " or newer is needed";
    const allows = (what) => process.permission?.has(what) !== false;
    if (!allows("inspector"))
      return "its permission model allows no inspector (--allow-inspector)";
    if (!allows("worker")) return "its permission model allows no threads (--allow-worker)";
    if (${mayClose}) inspector.close();
    const failed = (error) => {
      writeFileSync(${JSON.stringify(failurePath(socketPath))}, String(error), { mode: 0o600 });
    };
    try {
      const { Worker } = load("node:worker_threads");
      const { URL } = load("node:url");
      const thread = new Worker(new URL(${JSON.stringify(agent)}), ${JSON.stringify(options)});
      thread.on("error", failed);
      thread.unref();
    } catch (error) {
      failed(error);
    }
    return "";
  })()`;
}

/** Where the process writes why the agent could not be started. */
export function failurePath(socketPath: string): string {
  return `${socketPath}.failed`;
}

/** @returns for how long the port was open, in milliseconds; 0: it was open before and still is */
export async function inject(pid: number, socketPath: string): Promise<number> {
  const before = listeningAnywhere();
  const already = await inspectorAmong(listening(pid));
  if (already !== null) {
    check(pid, await evaluate(already.url, expressionOf(socketPath, false)));
    return 0;
  }
  await rehearse();
  process.kill(pid, "SIGUSR1");
  const { url, socket, sinceMs } = await opened(pid, before);
  const problem = await evaluate(url, expressionOf(socketPath, true), CLOSE);
  const isShut = (): boolean => !listeningAnywhere().some(({ inode }) => inode === socket.inode);
  await until(isShut, `the inspector of ${pid} does not close`);
  const exposedMs = performance.now() - sinceMs;
  check(pid, problem);
  return exposedMs;
}

/**
 * All of it once with an inspector of our own making, so that nothing is loaded or compiled here
 * while the port of the process is open.
 */
async function rehearse(): Promise<void> {
  const server = http.createServer((_request, response) => {
    const { port } = server.address() as AddressInfo; // it listens on a port
    const target = { webSocketDebuggerUrl: `ws://127.0.0.1:${port}/` };
    response.end(JSON.stringify([target], null, 2));
  });
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    socket.on("message", () => socket.close());
  });
  const before = listeningAnywhere();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const inspector = await inspectorAmong(listening(process.pid, before));
  if (inspector !== null) await evaluate(inspector.url, "");
  sockets.close();
  server.close();
}

function check(pid: number, problem: unknown): void {
  if (problem !== "") throw attachError(`Cannot attach to process ${pid}: ${String(problem)}.`);
}

interface Inspector {
  readonly url: string;
  readonly socket: ListeningSocket;
}

/** The inspector, once it is open, and when it was not yet. */
async function opened(
  pid: number,
  before: readonly ListeningSocket[],
): Promise<Inspector & { readonly sinceMs: number }> {
  const problem = `process ${pid} did not open its inspector after SIGUSR1`;
  let found: Inspector | null = null;
  let sinceMs = performance.now();
  await until(async () => {
    const lookMs = performance.now();
    const fresh = listening(pid, before);
    if (fresh.length === 0) sinceMs = lookMs;
    else found = await inspectorAmong(fresh);
    return found !== null;
  }, problem);
  return { ...(found as unknown as Inspector), sinceMs }; // `until` has seen it
}

async function until(holds: () => boolean | Promise<boolean>, problem: string): Promise<void> {
  const end = performance.now() + PORT_LIMIT_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw attachError(`Cannot attach: ${problem}.`);
    await sleep(LOOK_MS);
  }
}

/** The debugger's address of the first port that is an inspector's. */
async function inspectorAmong(sockets: readonly ListeningSocket[]): Promise<Inspector | null> {
  for (const socket of sockets) {
    const text = await textAt(socket.port);
    const [, url] = /"webSocketDebuggerUrl":\s*"(ws:[^"]+)"/.exec(text) ?? [];
    if (url !== undefined) return { url, socket };
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

/**
 * The value of an expression; empty where the inspector shuts instead of answering.
 * @param after what is evaluated when there was a value: the end of the connection is waited for
 */
function evaluate(url: string, expression: string, after = ""): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const socket = new WebSocket(url, { perMessageDeflate: false });
  const late = attachError("Cannot attach: the process did not answer its inspector.");
  const timer = setTimeout(() => reject(late), ANSWER_LIMIT_MS);
  const send = (id: number, text: string): void => {
    const options = { returnByValue: true, silent: true, includeCommandLineAPI: true };
    const params = { expression: text, ...options };
    socket.send(JSON.stringify({ id, method: "Runtime.evaluate", params }));
  };
  let value: unknown = "";
  socket.on("error", reject);
  socket.on("open", () => send(1, expression));
  socket.on("close", () => resolve(value));
  socket.on("message", (data: Buffer) => {
    // Chrome DevTools Protocol
    const answer = JSON.parse(data.toString()) as {
      readonly id?: number;
      readonly result?: { readonly result?: { readonly value?: unknown } };
    };
    if (answer.id !== 1) return;
    value = answer.result?.result?.value;
    if (after === "") resolve(value);
    else send(2, after);
  });
  return promise.finally(() => {
    clearTimeout(timer);
    socket.terminate();
  });
}
