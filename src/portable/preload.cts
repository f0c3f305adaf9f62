/**
 * The worker's half of portable mode: loaded into the user's process before its entry file
 * (`node --require`), in a process that node:cluster forked. A file without dependencies: it leaves
 * nothing in the module cache. What the application can notice is listed in docs/portable.md.
 *
 * ```
 *   cluster.fork --> preload --> the user's entry file
 *                      | timer: beats
 *                      | cluster._getServer: which servers are there
 *                      | http.server.*: which requests are in flight
 *                      | drain --> drained --> terminate, SIGTERM
 * ```
 * Threads of the user's inherit the flag, but not the variable: there it only hides itself.
 */
import type { BeatListener, Order, Told, WorkerStart } from "./worker-messages.ts" with {
  "resolution-mode": "import",
};
import type * as FlowGuard from "./flow-guard.ts" with { "resolution-mode": "import" };
import type { ServerResponse } from "node:http";
import type { Server } from "node:net";

// The values of worker-messages.ts, which is no CommonJS module; a test compares them.
const MESSAGE_COMMAND = "NODE_HOLDFAST";
const WORKER_VARIABLE = "HOLDFAST_PORTABLE_WORKER";
const BEAT_LISTENERS_MAX = 64;
/** Longest path of the oldest request that is told: enough to know the route. */
const PATH_LENGTH_MAX = 200;

/** How often a worker that drains looks whether it has. */
const DRAIN_POLL_MS = 50;
/** A signal that was sent has come by then. */
const SIGNAL_MS = 100;
/** As if by SIGTERM: 128 + 15. */
const EXIT_TERMINATED = 143;

/** A server of `node:net` or a socket of `node:dgram`. */
type Listener = Server & { readonly closeIdleConnections?: () => void };

/** The member of node:cluster that `server.listen` calls (lib/internal/cluster/child.js). */
interface ClusterModule {
  worker: { id: number } | undefined;
  _getServer(
    server: Listener,
    options: object,
    answered: (error: number, handle: SharedHandle, ...rest: unknown[]) => void,
  ): void;
}

/** The reference counts of the IPC channel (lib/internal/child_process.js, class Control). */
interface ChannelControl {
  refCounted(): void;
  unrefCounted(): void;
}

interface RequestInFlight {
  readonly method: string;
  readonly path: string;
  readonly startedMs: number;
}

interface RequestMessage {
  readonly request: { readonly method?: string; readonly url?: string };
  readonly response: ServerResponse;
}

function startWorker(start: WorkerStart): void {
  writeAtOnce(start.atOnce);
  // node:cluster listens for messages and for the end of the channel, which would keep a script
  // that has ended alive for ever.
  const channel = process.channel as unknown as ChannelControl;
  const listeners = process.listenerCount("message") + process.listenerCount("disconnect");
  for (let count = 0; count < listeners; count += 1) channel.unrefCounted();
  const servers = new Servers();
  const requests = new Requests();
  const draining = new Draining(servers, requests);
  const beat = startBeating(start.beatIntervalMs, servers, requests);
  draining.listen();
  const guard = start.flow === null ? () => undefined : startFlow(start.flow);
  servers.watch(start.index, channel, guard, () => {
    beat(); // where it listens is known when it is ready
    tell({ type: "listening" });
  });
  if (start.agent !== null) startAgent(start.agent, start.index);
}

/** What bounds the application's work, in the same process: loaded where it is asked for. */
function startFlow({ module, orders }: NonNullable<WorkerStart["flow"]>): (server: object) => void {
  const loaded = require(module) as typeof FlowGuard; // our own, beside this one
  return loaded.guardWorker(orders);
}

/** A thread that answers while the main thread cannot; see `src/agent`. */
function startAgent(agent: NonNullable<WorkerStart["agent"]>, worker: number): void {
  const { main, socketPath, options } = agent;
  const { Worker } = process.getBuiltinModule("node:worker_threads");
  try {
    // @types/node knows it as always there
    const { permission } = process as { permission?: { has(scope: string): boolean } };
    const mayInspect = permission?.has("inspector") ?? true;
    const workerData = { socketPath, worker, mayInspect };
    const thread = new Worker(new URL(main), { ...options, workerData });
    // before unref, which a listener would undo; the closed socket tells the primary
    thread.on("error", () => undefined);
    thread.unref();
  } catch (error) {
    // the permission model allows no threads
    if ((error as NodeJS.ErrnoException).code !== "ERR_ACCESS_DENIED") throw error;
  }
}

/**
 * Our output is a pipe to the primary. Node writes to files and terminals at once, so that nothing
 * is lost by process.exit(); where the primary has one of those, so it shall be here.
 */
function writeAtOnce(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) {
    const stream = descriptor === 1 ? process.stdout : process.stderr;
    // A pipe's handle has it (libuv's uv_stream_set_blocking); node itself uses it on Windows.
    (stream as { _handle?: { setBlocking?(on: boolean): void } })._handle?.setBlocking?.(true);
  }
}

/** The handle that node:cluster gives a server: closing it means only that nothing new comes. */
interface SharedHandle {
  close(): void;
}

/** Servers of the application that share a socket, and how many connections they were given. */
class Servers {
  readonly #handles = new Map<Listener, SharedHandle>();
  #accepted = 0;

  /** Tells of every server and socket that listens from now on. */
  watch(
    index: number,
    channel: ChannelControl,
    guard: (server: object) => void,
    onListening: () => void,
  ): void {
    const cluster = process.getBuiltinModule("node:cluster") as unknown as ClusterModule;
    if (cluster.worker !== undefined) cluster.worker.id = index + 1; // as in full mode
    const getServer = cluster._getServer.bind(cluster);
    cluster._getServer = (server, options, answered) => {
      guard(server);
      channel.refCounted(); // while the answer is awaited the process stays
      getServer(server, options, (error, handle, ...rest) => {
        channel.unrefCounted();
        if (!error) this.#handles.set(server, handle);
        answered(error, handle, ...rest);
        if (!isStream(server) && describe(server) !== null) onListening();
      });
    };
    const { subscribe } = process.getBuiltinModule("node:diagnostics_channel");
    subscribe("tracing:net.server.listen:asyncEnd", (message) => {
      const { server } = message as { readonly server: Listener };
      // With `exclusive` or `reusePort` it has a socket of its own.
      if (!this.#handles.has(server)) this.#handles.set(server, { close: () => server.close() });
      onListening();
    });
    subscribe("net.server.socket", () => {
      this.#accepted += 1;
    });
  }

  get accepted(): number {
    return this.#accepted;
  }

  get connections(): number {
    return [...this.#handles.keys()].reduce((sum, server) => sum + connectionsOf(server), 0);
  }

  /** Where they listen; forgets those that have closed. */
  listeners(): BeatListener[] {
    const found: BeatListener[] = [];
    for (const server of this.#handles.keys()) {
      const listener = describe(server);
      if (listener !== null) found.push(listener);
      else if (connectionsOf(server) === 0) this.#handles.delete(server);
    }
    return found.slice(0, BEAT_LISTENERS_MAX);
  }

  /**
   * Takes no more connections. The application's servers know nothing of it, and can be closed by
   * its own SIGTERM handler. Datagrams are still answered: others share that socket.
   */
  stop(): void {
    for (const [server, handle] of this.#handles) if (isStream(server)) handle.close();
  }

  closeIdle(): void {
    for (const server of this.#handles.keys()) server.closeIdleConnections?.();
  }
}

/** Requests in flight of every server of node:http. */
class Requests {
  readonly #inFlight = new Map<ServerResponse, RequestInFlight>();
  #total = 0;
  #areLast = false;

  constructor() {
    const { subscribe } = process.getBuiltinModule("node:diagnostics_channel");
    subscribe("http.server.request.start", (message) => {
      const { request, response } = message as RequestMessage;
      this.#total += 1;
      const { method = "", url: path = "" } = request;
      this.#inFlight.set(response, { method, path, startedMs: performance.now() });
      if (this.#areLast) response.shouldKeepAlive = false;
    });
    subscribe("http.server.response.finish", (message) => {
      this.#inFlight.delete((message as RequestMessage).response);
    });
  }

  get total(): number {
    return this.#total;
  }

  /** Those that have not ended, the oldest first; a client may have gone without a word. */
  current(): RequestInFlight[] {
    for (const response of this.#inFlight.keys()) {
      if (response.destroyed || response.writableFinished) this.#inFlight.delete(response);
    }
    return [...this.#inFlight.values()];
  }

  /** Every response from now on is the last one on its connection, and says so. */
  makeLast(): void {
    this.#areLast = true;
    for (const response of this.#inFlight.keys()) {
      if (!response.headersSent) response.shouldKeepAlive = false;
    }
  }
}

/**
 * The end of a worker: no new connections; each connection ends after its next response, or, if it
 * stays idle, after `lingerMs`; then SIGTERM. Until then nothing may end the process.
 */
class Draining {
  readonly #servers: Servers;
  readonly #requests: Requests;
  #poll: NodeJS.Timeout | null = null;
  #lingerUntilMs = Infinity;
  #isDrained = false;

  constructor(servers: Servers, requests: Requests) {
    this.#servers = servers;
    this.#requests = requests;
  }

  /** Waits for orders. */
  listen(): void {
    process.on("internalMessage" as "message", (message: unknown) => {
      // A message with our command is ours: the primary is `holdfast run`.
      const order = message as Order & { readonly cmd?: unknown };
      if (order.cmd !== MESSAGE_COMMAND) return;
      if (order.type === "drain") this.#drain(order.lingerMs);
      else this.#terminate();
    });
  }

  #drain(lingerMs: number): void {
    this.#requests.makeLast();
    this.#lingerUntilMs = Math.min(this.#lingerUntilMs, performance.now() + lingerMs);
    if (this.#poll === null) {
      this.#servers.stop();
      this.#poll = setInterval(() => this.#look(), DRAIN_POLL_MS);
    }
    this.#look();
  }

  #look(): void {
    if (performance.now() >= this.#lingerUntilMs) this.#servers.closeIdle();
    if (this.#isDrained || this.#servers.connections > 0) return;
    this.#isDrained = true;
    tell({ type: "drained" });
  }

  /** SIGTERM follows; on Windows, which has none, this is it. */
  #terminate(): void {
    const release = (): void => {
      if (this.#poll !== null) clearInterval(this.#poll);
    };
    setTimeout(release, SIGNAL_MS);
    if (process.platform !== "win32") return;
    if (process.emit("SIGTERM", "SIGTERM")) return;
    process.exit(EXIT_TERMINATED);
  }
}

/** Tells the primary at every interval how this worker is; a loop that spins tells nothing. */
function startBeating(intervalMs: number, servers: Servers, requests: Requests): () => void {
  const heapLimitBytes = process.getBuiltinModule("node:v8").getHeapStatistics().heap_size_limit;
  let lastMs = performance.now();
  const beat = (): void => {
    const nowMs = performance.now();
    const loopLagMs = Math.max(0, nowMs - lastMs - intervalMs);
    lastMs = nowMs;
    if (!process.connected) return clearInterval(timer);
    const memory = process.memoryUsage();
    const cpu = process.cpuUsage();
    const inFlight = requests.current();
    tell({
      type: "beat",
      accepted: servers.accepted,
      connections: servers.connections,
      inFlight: inFlight.length,
      oldest: inFlight[0] === undefined ? null : oldestRequest(inFlight[0], nowMs),
      requests: requests.total,
      loopLagMs: Math.round(loopLagMs),
      heapLimitBytes,
      rssBytes: memory.rss,
      privateBytes: memory.heapTotal + memory.external,
      cpuMs: (cpu.user + cpu.system) / 1000,
      listeners: servers.listeners(),
    });
  };
  const timer = setInterval(beat, intervalMs);
  timer.unref();
  beat();
  return beat;
}

function oldestRequest({ method, path, startedMs }: RequestInFlight, nowMs: number) {
  return { method, path: path.slice(0, PATH_LENGTH_MAX), ageMs: nowMs - startedMs };
}

/** The primary may end at any time; the application hears of that as Node has it. */
function tell(message: Told): void {
  if (!process.connected) return;
  process.send?.({ cmd: MESSAGE_COMMAND, ...message }, undefined, {}, () => undefined);
}

/** Connections that the server has now: `getConnections` would answer a tick later. */
function connectionsOf(server: Listener): number {
  return isStream(server) ? server._connections : 0;
}

/** Whether it is a server of node:net, not a socket of node:dgram. */
function isStream(server: Listener): server is Listener & { readonly _connections: number } {
  return "_connections" in server;
}

/** Where it listens; null once it has closed, and for what tells no address. */
function describe(server: Listener): BeatListener | null {
  try {
    const address = server.address();
    if (address === null) return null;
    if (typeof address === "string") return { address, port: 0, kind: "unix" };
    const kind = isStream(server) ? "tcp" : "udp";
    return { address: address.address, port: address.port, kind };
  } catch {
    return null; // a dgram socket that is closed throws
  }
}

// Threads of the application's see what they were started with: our flags come first, we last.
process.execArgv.splice(0, process.execArgv.indexOf(__filename) + 1);
delete require.cache[__filename];
const given = process.env[WORKER_VARIABLE];
if (given !== undefined) {
  delete process.env[WORKER_VARIABLE];
  startWorker(JSON.parse(given) as WorkerStart); // our own primary has written it
}
