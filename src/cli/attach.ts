/**
 * `holdfast attach`: any Node process as if it were a service of one worker, for as long as this
 * verb runs.
 *
 * ```
 *   attach <pid> --inject--> agent in the process == socket in the runtime directory == this one
 *   stacks, profile, debug, patch, trace --name pid-<pid> == control socket ===========/
 * ```
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import path from "node:path";
import { EXIT_CODES, controlSocketPath, formatDuration, runtimeDirectory } from "../base/mod.ts";
import type { TraceMessage } from "../base/mod.ts";
import { AgentLink, Live, Lookout, Traces } from "../reactor/mod.ts";
import type { LiveLink, TracedLink } from "../reactor/mod.ts";
import { ControlServer, liveRoutes, traceRoutes } from "../supervision/mod.ts";
import { failurePath, inject } from "./attach-inject.ts";
import { attachError, checkTarget } from "./attach-target.ts";
import { isListening } from "./control-client.ts";
import { usage } from "./parse.ts";
import type { Parsed, World } from "./verb.ts";

/** For the agent's thread to start, also while the main thread spins. */
const AGENT_LIMIT_MS = 10_000;
const AGENT_LOOK_MS = 50;
const TRACE_LIMIT_MS = 1500;

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const pid = pidOf(parsed);
  const name = `pid-${pid}`;
  const directory = runtimeDirectory(world.environment);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const controlPath = controlSocketPath(directory, name);
  checkTarget(pid);
  if (await isListening(controlPath)) {
    throw attachError(`Cannot attach to process ${pid}: that is done already, by another command.`);
  }
  const gone = Promise.withResolvers<string>();
  const { agent, exposedMs } = await connectAgent(pid, directory, (why) => gone.resolve(why));
  const control = controlOf(pid, agent, world);
  rmSync(controlPath, { force: true }); // of a command that was killed
  await control.listen({ path: controlPath });
  chmodSync(controlPath, 0o600);
  if (parsed.flags["json"] === true) {
    world.stdout.write(`${JSON.stringify({ pid, name, exposedMs })}\n`);
  } else world.stdout.write(greeting(pid, name, exposedMs));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => gone.resolve(""));
  }
  const why = await gone.promise;
  control.destroy();
  agent.close();
  rmSync(controlPath, { force: true });
  if (why === "") return EXIT_CODES.ok;
  world.stderr.write(`holdfast: ${why}\n`);
  return EXIT_CODES.failed;
}

function greeting(pid: number, name: string, exposedMs: number): string {
  const open =
    exposedMs === 0
      ? "Its inspector was open before, and still is."
      : `Its inspector was open on the loopback for ${formatDuration(Math.ceil(exposedMs))}.`;
  return [
    `attached to process ${pid} until Ctrl-C. ${open}`,
    `  holdfast stacks --name ${name} --variables`,
    `  holdfast profile cpu --name ${name} --for 5s -o flame.html`,
    `  holdfast trace --name ${name} 'http:done { @[route] = quantize(duration) }'`,
    `  holdfast debug --name ${name}`,
    "",
  ].join("\n");
}

/** Injects, and waits for the agent's connection: the only one that is taken. */
async function connectAgent(
  pid: number,
  directory: string,
  onGone: (why: string) => void,
): Promise<{ agent: AgentLink; exposedMs: number }> {
  const socketPath = path.join(directory, `pid-${pid}-${process.pid}.agent`);
  const server = createServer();
  const connected = Promise.withResolvers<Socket>();
  server.on("connection", (socket) => connected.resolve(socket));
  server.on("error", connected.reject);
  await listen(server, socketPath);
  chmodSync(socketPath, 0o600);
  const from = performance.now();
  const look = (): void => {
    const problem = problemOf(pid, socketPath, performance.now() - from);
    if (problem === null) return;
    connected.reject(attachError(`Cannot attach to process ${pid}: ${problem}.`));
  };
  let timer: NodeJS.Timeout | undefined;
  try {
    const exposedMs = await inject(pid, socketPath);
    timer = setInterval(look, AGENT_LOOK_MS);
    const socket = await connected.promise;
    const agent = new AgentLink(socket, (fault) => {
      onGone(`process ${pid}, or the agent in it, has ended${fault === "" ? "" : `: ${fault}`}`);
    });
    socket.ref();
    return { agent, exposedMs };
  } finally {
    clearInterval(timer);
    server.close();
    rmSync(socketPath, { force: true });
    rmSync(failurePath(socketPath), { force: true });
  }
}

/** Why the agent will not come; null: it may. */
function problemOf(pid: number, socketPath: string, waitedMs: number): string | null {
  const file = failurePath(socketPath);
  const failure = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (failure !== "") return `its agent cannot be started: ${failure}`;
  if (!existsSync(`/proc/${pid}`)) return "it has ended";
  return waitedMs > AGENT_LIMIT_MS ? "its agent did not come up" : null;
}

function listen(server: Server, socketPath: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ path: socketPath }, resolve);
  return promise;
}

/** The process as a service of one worker, whose messages all go through its agent. */
function controlOf(pid: number, agent: AgentLink, world: World): ControlServer {
  const send = (message: { readonly type: string }): boolean => {
    // only traces send, and nothing else
    const asked = message as TraceMessage;
    agent.ask({ kind: "trace", message: asked }, TRACE_LIMIT_MS).then(
      (answer) => traces.answer(link, asked.id, answer),
      (error: unknown) => {
        if (asked.type === "trace-start") traces.answer(link, asked.id, { error: String(error) });
      }, // the next question is answered, or the view says that it is silent
    );
    return true;
  };
  const link: LiveLink & TracedLink = {
    id: 1,
    index: 0,
    pid,
    agent,
    isReady: true,
    isFed: true,
    heartbeatMs: 0,
    holds: 0,
    send,
  };
  const links = new Map([[link.id, link]]);
  const traces = new Traces(links);
  const live = new Live({
    links,
    limitBytes: () => 0,
    lookout: new Lookout(),
    log: (level, message) => {
      if (level === "warn") world.stderr.write(`holdfast: ${message}\n`);
    },
  });
  const routes = { ...liveRoutes(live), ...traceRoutes(traces) };
  return new ControlServer(routes, (error) => world.stderr.write(`holdfast: ${String(error)}\n`));
}

function pidOf(parsed: Parsed): number {
  const [text] = parsed.positionals;
  if (text !== undefined && /^[1-9]\d{0,9}$/.test(text)) return Number(text);
  const problem =
    text === undefined ? "say which process" : `${JSON.stringify(text)} is no process id`;
  throw usage({ name: "attach" }, problem);
}
