/**
 * A worker of portable mode: a process that node:cluster forked. The primary accepts and hands
 * connections over, round robin, to every worker that listens.
 *
 * ```
 *   fork --spawn--> spawned --listening, or process.send("ready")--> ready
 *   drain --> the preload ends what is idle, and waits for the rest --> drained
 * ```
 */
import cluster from "node:cluster";
import type { Worker } from "node:cluster";
import { fileURLToPath } from "node:url";
import { entryUrl, flowOrders, hasDeadlines, pipeLimits } from "../base/mod.ts";
import type { Environment, ExitInfo, WorkerIdentity } from "../base/mod.ts";
import { WorkerOutput, heapFlags, nearLimitFlags } from "../supervision/mod.ts";
import type { Version, WorkerSinks } from "../supervision/mod.ts";
import type { AgentStart } from "./agents.ts";
import { MESSAGE_COMMAND, WORKER_VARIABLE, parseMessage } from "./worker-messages.ts";
import type { Beat, Order, WorkerStart } from "./worker-messages.ts";

const PRELOAD = fileURLToPath(entryUrl(import.meta.url, "./preload.cts"));
const FLOW_GUARD = fileURLToPath(entryUrl(import.meta.url, "./flow-guard.ts"));

export interface WorkerOrder extends WorkerIdentity {
  readonly heapLimitBytes: number;
  readonly beatIntervalMs: number;
  readonly agent: AgentStart | null;
}

/** What a worker tells; never before the call that started it has returned. */
export interface WorkerEvents {
  spawned(pid: number): void;
  spawnFailed(message: string): void;
  ready(): void;
  beat(beat: Beat): void;
  /** It has no connection left. */
  drained(): void;
  /** Nothing can be heard of it any more: it is about to end. */
  disconnected(): void;
  /** `output` is what it wrote last. */
  exited(exit: ExitInfo, output: string): void;
  line(stream: "stdout" | "stderr", line: string): void;
}

/** What the service asks of a worker. */
export interface PortableWorker {
  /** 0 when it could not be started. */
  readonly pid: number;
  /** Whether nothing more will come out of it. */
  readonly isSilent: boolean;
  /**
   * Takes no more connections, finishes what is in flight, and ends connections that are idle after
   * `lingerMs`. May come twice.
   */
  drain(lingerMs: number): void;
  /** Sends a signal; nothing happens when it has ended. */
  signal(signal: NodeJS.Signals): void;
  /** Resolves when all that it wrote has been passed on. */
  flush(): Promise<void>;
}

/** Starts a worker; throws when the system refuses. */
export type StartWorker = (
  order: WorkerOrder,
  version: Version,
  events: WorkerEvents,
) => PortableWorker;

/** Starts workers whose output goes to `sinks`. */
export function clusterWorkers(sinks: WorkerSinks): StartWorker {
  cluster.schedulingPolicy = cluster.SCHED_RR; // Windows' own default lets workers race
  return (order, version, events) => new ClusterWorker(order, version, sinks, events);
}

class ClusterWorker implements PortableWorker {
  readonly #worker: Worker;
  readonly #output: WorkerOutput;
  readonly #events: WorkerEvents;
  #hasExited = false;

  constructor(order: WorkerOrder, version: Version, sinks: WorkerSinks, events: WorkerEvents) {
    const atOnce = [...(sinks.stdout.isAtOnce ? [1] : []), ...(sinks.stderr.isAtOnce ? [2] : [])];
    this.#worker = fork(order, version, atOnce);
    this.#events = events;
    const { process: child } = this.#worker;
    this.#output = new WorkerOutput(
      { stdout: child.stdout, stderr: child.stderr },
      sinks,
      (stream, line) => events.line(stream, line),
    );
    this.#listen();
  }

  get pid(): number {
    return this.#worker.process.pid ?? 0;
  }

  get isSilent(): boolean {
    return this.#output.isEnded;
  }

  drain(lingerMs: number): void {
    if (this.#worker.isConnected()) this.#tell({ type: "drain", lingerMs });
    else queueMicrotask(() => this.#events.drained());
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#hasExited || this.pid === 0) return;
    const canBeTold = signal === "SIGTERM" && this.#worker.isConnected();
    if (canBeTold) this.#tell({ type: "terminate" });
    // On Windows a signal is the end at once; there the preload does what SIGTERM would.
    if (!canBeTold || process.platform !== "win32") this.#worker.process.kill(signal);
  }

  flush(): Promise<void> {
    return this.#output.flush();
  }

  #tell(order: Order): void {
    this.#worker.process.send({ cmd: MESSAGE_COMMAND, ...order });
  }

  #listen(): void {
    const worker = this.#worker;
    const events = this.#events;
    const child = worker.process;
    child.once("spawn", () => events.spawned(this.pid));
    // Also errors of its channel, when it ends while something is sent: its exit follows.
    worker.on("error", (error: Error) => {
      if (child.pid === undefined) events.spawnFailed(error.message);
    });
    worker.on("message", (message: unknown) => {
      if (message === "ready") events.ready();
    });
    child.on("internalMessage" as "message", (message: unknown) => {
      const told = parseMessage(message);
      if (told?.type === "beat") events.beat(told);
      else if (told?.type === "listening") events.ready();
      else if (told?.type === "drained") events.drained();
    });
    worker.on("disconnect", () => events.disconnected());
    child.once("exit", (code, signal) => {
      this.#hasExited = true;
      void this.#output.lastWords().then((output) => events.exited({ code, signal }, output));
    });
  }
}

function fork(order: WorkerOrder, { config, environment }: Version, atOnce: number[]): Worker {
  const { index, heapLimitBytes, beatIntervalMs, agent } = order;
  const options = config.env["NODE_OPTIONS"] ?? environment["NODE_OPTIONS"] ?? "";
  const heap = [...heapFlags(heapLimitBytes, config.nodeArgs, options), ...nearLimitFlags(config)];
  const ours = [...heap, "--require", PRELOAD];
  const orders = flowOrders(config);
  const isBounded = orders.gate !== "off" && orders.gate !== "observe";
  const asks = isBounded || hasDeadlines(orders) || pipeLimits(orders) !== null;
  const flow = asks ? { module: FLOW_GUARD, orders } : null;
  const start: WorkerStart = { index, beatIntervalMs, atOnce, agent, flow };
  cluster.setupPrimary({
    exec: config.entry,
    args: [...config.args],
    execArgv: [...ours, ...config.nodeArgs],
    cwd: config.cwd,
    windowsHide: true,
    stdio: [index === 0 ? "inherit" : "ignore", "pipe", "pipe", "ipc"],
  });
  const variables = { ...environment, ...config.env, [WORKER_VARIABLE]: JSON.stringify(start) };
  return cluster.fork({ ...withoutOurOwn(variables), ...variables });
}

/** node:cluster starts from our own environment, of which nothing else must be left. */
function withoutOurOwn(variables: Environment): Environment {
  const isWindows = process.platform === "win32";
  const known = (name: string): string => (isWindows ? name.toUpperCase() : name);
  const names = new Set(Object.keys(variables).map(known));
  const others = Object.keys(process.env).filter((name) => !names.has(known(name)));
  return Object.fromEntries(others.map((name) => [name, undefined])); // child_process leaves it out
}
