/**
 * The worker's half of Holdfast: loaded into the user's process before its entry file. Guests here:
 * what the application could notice is listed in `README.md`, and nothing else may be added.
 *
 * ```
 *   preload --> attach (ledger, channel) --> cluster hook --> the user's entry file runs
 *                 |                             |
 *                 heartbeat (unref'd timer)     server.listen, socket.bind
 * ```
 */
import { subscribe } from "node:diagnostics_channel";
import { HoldfastError, PACKET_CONNECTIONS, PACKET_JOURNAL, PACKET_JSON } from "../base/mod.ts";
import type { AsyncOrders, FlowOrders, ReactorToWorker } from "../base/mod.ts";
import { Ledger } from "../ledger/mod.ts";
import { PacketChannel, closeDescriptor, setCloseOnExec } from "../os/mod.ts";
import { startAgent } from "./agent-thread.ts";
import { FastifyRoutes } from "./latency-channels.ts";
import { AsyncOrigin } from "./async-origin.ts";
import { calmCompiler } from "./compiler-calm.ts";
import { askForCore, letKeeperLook } from "./core-request.ts";
import { FlowHost } from "./flow-host.ts";
import { Listeners } from "./listeners.ts";
import type { ClusterModule, ServerCallback, ServerQuery } from "./node-internals.ts";
import { later } from "./own-timers.ts";
import { Vitals } from "./vitals.ts";
import { passTraceContext } from "./trace-context.ts";
import { TracePort } from "./trace-port.ts";
import { WorkerContext } from "./worker-context.ts";
import type { Server } from "node:net";

/** Descriptors that the keeper gives to a worker. */
const CHANNEL_DESCRIPTOR = 3;
const LEDGER_DESCRIPTOR = 4;
/** A tenth of the shortest stall limit that makes sense. */
const HEARTBEAT_MS = 100;
/** After the keeper has died: time to finish what is in flight, then to handle SIGTERM. */
const ORPHAN_TERM_MS = 30_000;
const ORPHAN_EXIT_MS = 5_000;

/** What the keeper tells a worker through its environment; removed before the user's code runs. */
interface WorkerEnvironment {
  readonly id: number;
  readonly index: number;
  readonly generation: number;
  readonly journalLimitBytes: number;
  readonly flow: FlowOrders;
  /** 1: stdout, 2: stderr; what the keeper writes to a file or terminal. */
  readonly synchronous: number;
  /** Null: started by something else than a reactor. */
  readonly origins: AsyncOrders | null;
  /** 1: it asks for a core before it ends by an error (`--core`). */
  readonly core: number;
  /** 1: it passes trace contexts on (`--trace-context`). */
  readonly traceContext: number;
}

function takeEnvironment(env: NodeJS.ProcessEnv): WorkerEnvironment {
  const take = (name: string): number => {
    const value = Number(env[`HOLDFAST_WORKER_${name}`]);
    delete env[`HOLDFAST_WORKER_${name}`];
    return value;
  };
  return {
    id: take("ID"),
    index: take("INDEX"),
    generation: take("GENERATION"),
    journalLimitBytes: take("JOURNAL_LIMIT"),
    flow: JSON.parse(takeText(env, "FLOW") ?? "null") as FlowOrders, // the keeper's
    synchronous: take("SYNCHRONOUS"),
    origins: takeOrders(env),
    core: take("CORE"),
    traceContext: take("TRACE_CONTEXT"),
  };
}

function takeText(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const text = env[`HOLDFAST_WORKER_${name}`];
  delete env[`HOLDFAST_WORKER_${name}`];
  return text;
}

function takeOrders(env: NodeJS.ProcessEnv): AsyncOrders | null {
  const text = takeText(env, "ORIGINS");
  return text === undefined ? null : (JSON.parse(text) as AsyncOrders); // the reactor's
}

/**
 * Our output is a pipe to the keeper. Node writes to files and terminals at once, so that nothing
 * is lost by process.exit(); where the keeper has one of those, writing to the pipe is as for them.
 */
function writeAtOnce(streams: number): void {
  const chosen = [
    ...(streams & 1 ? [process.stdout] : []),
    ...(streams & 2 ? [process.stderr] : []),
  ];
  for (const stream of chosen) {
    // A pipe's handle has it (libuv's uv_stream_set_blocking); node itself uses it on Windows.
    (stream as { _handle?: { setBlocking?(on: boolean): void } })._handle?.setBlocking?.(true);
  }
}

function startHeartbeat(context: WorkerContext, flow: FlowHost): void {
  const { ledger, row } = context;
  const vitals = new Vitals(ledger, row);
  const fastify = new FastifyRoutes(context.latency);
  let last = context.nowMs();
  const beat = (): void => {
    const now = context.nowMs();
    const lagMs = Math.max(0, now - last - HEARTBEAT_MS);
    ledger.workers.setFloat(row, "loopLagMs", lagMs);
    context.noteLag(lagMs);
    ledger.workers.setFloat(row, "heartbeatMs", now);
    last = now;
    vitals.beat();
    fastify.beat();
    flow.beat();
    context.checkFlushed();
  };
  vitals.beat();
  ledger.workers.setFloat(row, "heartbeatMs", last);
  setInterval(beat, HEARTBEAT_MS).unref();
}

/** Makes `cluster` the module that a cluster's worker sees, with our `_getServer`. */
function hookCluster(listeners: Listeners, identity: WorkerEnvironment): void {
  // the members that @types/node does not know
  const hooked = process.getBuiltinModule("node:cluster") as unknown as ClusterModule;
  hooked._getServer = (server: Server, query: ServerQuery, callback: ServerCallback): void =>
    listeners.getServer(server, query, callback);
  let worker: unknown;
  Object.defineProperty(hooked, "worker", {
    configurable: true,
    enumerable: true,
    get: () => {
      worker ??= new hooked.Worker({ id: identity.index + 1, process, state: "online" });
      process.channel?.unref();
      return worker;
    },
  });
}

function listenToReactor(
  channel: PacketChannel,
  context: WorkerContext,
  listeners: Listeners,
  traces: TracePort,
  origin: AsyncOrigin | null,
): void {
  const journals = new Map<number, { readonly generation: number; readonly parts: Buffer[] }>();
  channel.onPacket((kind, payload, descriptors) => {
    switch (kind) {
      case PACKET_CONNECTIONS:
        for (let at = 0; at < payload.length; at += 16) {
          listeners.receive(
            descriptors[at / 16] ?? -1, // the system cuts off what there is no room for
            payload.readUInt32LE(at),
            payload.readUInt32LE(at + 4),
            payload.readUInt32LE(at + 8),
            null,
          );
        }
        break;
      case PACKET_JOURNAL: {
        const slot = payload.readUInt32LE(0);
        const generation = payload.readUInt32LE(4);
        const begun = journals.get(slot);
        const parts = begun?.generation === generation ? begun.parts : [];
        parts.push(Buffer.from(payload.subarray(16)));
        journals.set(slot, { generation, parts });
        if (payload.readUInt32LE(12) > 0) break; // of the bytes; the descriptor is with the last
        journals.delete(slot);
        const [fd = -1] = descriptors;
        listeners.receive(fd, slot, generation, payload.readUInt32LE(8), Buffer.concat(parts));
        break;
      }
      case PACKET_JSON:
        // the reactor is ours, of the same version (the ledger's version was compared)
        onMessage(
          JSON.parse(payload.toString()) as ReactorToWorker,
          descriptors,
          context,
          listeners,
          traces,
          origin,
        );
        break;
      default:
        descriptors.forEach(closeDescriptor);
    }
  });
}

function onMessage(
  message: ReactorToWorker,
  descriptors: readonly number[],
  context: WorkerContext,
  listeners: Listeners,
  traces: TracePort,
  origin: AsyncOrigin | null,
): void {
  switch (message.type) {
    case "listening":
      listeners.answered(message, descriptors);
      break;
    case "drain":
      listeners.stopAccepting();
      context.drain(message.move);
      break;
    case "resync":
      context.resync();
      break;
    case "grant":
      listeners.grant(message.slots);
      break;
    case "trace-start":
    case "trace-pull":
    case "trace-stop":
    case "trace-probes":
      traces.receive(message);
      break;
    case "async-failure":
      origin?.arm(message.failure);
      break;
  }
}

/** Keeper and reactor have died: finish what is in flight, then end. */
function endAsOrphan(context: WorkerContext): void {
  // nobody reads
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  context.drain(false);
  const deadline = context.nowMs() + ORPHAN_TERM_MS;
  const check = setInterval(() => {
    if (context.accounts.size > 0 && context.nowMs() < deadline) return;
    clearInterval(check);
    later(() => process.exit(1), ORPHAN_EXIT_MS).unref();
    process.kill(process.pid, "SIGTERM");
  }, HEARTBEAT_MS);
}

function asyncOrigin(orders: AsyncOrders | null, channel: PacketChannel): AsyncOrigin | null {
  if (orders === null) return null;
  // not by the context: it would clear an immediate, which makes Node loop for ever where another
  // immediate has just failed (lib/internal/timers.js, `prevImmediate._idleNext`)
  return new AsyncOrigin(orders, (failure) => {
    channel.sendJson({ type: "async-failure", failure });
  });
}

/**
 * Attaches this process to its reactor. The preload calls it only in a process that the keeper
 * started, with `cluster` already loaded as a worker's.
 * @throws HoldfastError ERR_HOLDFAST_WORKER_ROW when the ledger does not know this worker.
 */
export function startWorker(): void {
  const identity = takeEnvironment(process.env);
  writeAtOnce(identity.synchronous);
  const ledger = Ledger.attach(LEDGER_DESCRIPTOR);
  closeDescriptor(LEDGER_DESCRIPTOR);
  const row = ledger.workers.find(identity.id);
  if (row < 0) {
    throw new HoldfastError(
      "ERR_HOLDFAST_WORKER_ROW",
      `Cannot start worker ${identity.id}: it has no row in the ledger. ` +
        `Workers are started by \`holdfast run\` only.`,
    );
  }
  setCloseOnExec(CHANNEL_DESCRIPTOR);
  const channel = new PacketChannel(CHANNEL_DESCRIPTOR);
  channel.unref();
  const context = new WorkerContext(ledger, row, channel, identity.journalLimitBytes);
  const flow = new FlowHost(context, identity.flow);
  const ready = (): void => context.send({ type: "ready" });
  const listeners = new Listeners(context, (...given) => flow.guard(...given), ready);
  channel.onClose(() => endAsOrphan(context));
  process.on("exit", () => {
    channel.close(); // koffi must not find it open when the environment ends
    calmCompiler();
  });
  hookCluster(listeners, identity);
  subscribe("tracing:net.server.listen:asyncEnd", () => listeners.sayListening());
  startHeartbeat(context, flow);
  const origin = asyncOrigin(identity.origins, channel);
  listenToReactor(channel, context, listeners, new TracePort(channel, identity.index), origin);
  startAgent();
  letKeeperLook();
  if (identity.core === 1) askForCore();
  if (identity.traceContext === 1) passTraceContext();
  context.send({ type: "attached", pid: process.pid, version: process.version });
}
