/**
 * A worker as the keeper sees it: a child process, its output, and the reactor's ends of its
 * channel and of its agent's stream, of which the keeper keeps a copy for the next reactor.
 *
 * ```
 *   stdio   0      1       2       3         4        5                         6
 *           stdin  stdout  stderr  channel   ledger   Node's IPC (process.send) agent's stream
 *           (worker 0 only, else nothing)
 * ```
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { entryUrl, flowOrders } from "../base/mod.ts";
import type { ExitInfo, WorkerIdentity } from "../base/mod.ts";
import { closeDescriptor, socketPair, streamPair } from "../os/mod.ts";
import { WorkerOutput, heapFlags, nearLimitFlags } from "../supervision/mod.ts";
import type { Version, WorkerSinks } from "../supervision/mod.ts";

const PRELOAD = fileURLToPath(entryUrl(import.meta.url, "../worker/preload.cts"));

export interface WorkerOrder extends WorkerIdentity {
  readonly heapLimitBytes: number;
  /** What the reactor adds to the environment. */
  readonly env: Readonly<Record<string, string>>;
}

export interface WorkerEvents {
  spawned(worker: WorkerProcess): void;
  spawnFailed(worker: WorkerProcess, message: string): void;
  exited(worker: WorkerProcess, exit: ExitInfo, output: string): void;
  message(worker: WorkerProcess, message: unknown): void;
  line(worker: WorkerProcess, stream: "stdout" | "stderr", line: string): void;
}

export class WorkerProcess {
  readonly identity: WorkerIdentity;
  readonly #child: ChildProcess;
  readonly #output: WorkerOutput;
  /** The reactor's end of its channel; -1 once released. */
  #channel: number;
  /** The reactor's end of its agent's stream; -1 once released. */
  #agent: number;
  #exit: ExitInfo | null = null;

  constructor(
    order: WorkerOrder,
    version: Version,
    ledgerDescriptor: number,
    sinks: WorkerSinks,
    events: WorkerEvents,
  ) {
    const { id, index, generation } = order;
    this.identity = { id, index, generation };
    const [reactorEnd, workerEnd] = socketPair();
    const [reactorStream, agentStream] = streamPair();
    this.#channel = reactorEnd;
    this.#agent = reactorStream;
    try {
      // Node writes to files and terminals at once, to pipes when they have room: so shall it here,
      // where it has a pipe to us and we have the file. Or else process.exit() would cut output
      // off.
      const synchronous = (sinks.stdout.isAtOnce ? 1 : 0) | (sinks.stderr.isAtOnce ? 2 : 0);
      const given = [workerEnd, ledgerDescriptor, "ipc", agentStream] as const;
      this.#child = start(order, version, given, synchronous);
    } catch (error) {
      this.release();
      throw error;
    } finally {
      closeDescriptor(workerEnd);
      closeDescriptor(agentStream);
    }
    this.#output = new WorkerOutput(this.#child, sinks, (stream, line) => {
      events.line(this, stream, line);
    });
    this.#child.once("spawn", () => events.spawned(this));
    this.#child.on("error", (error) => {
      if (this.#child.pid === undefined) events.spawnFailed(this, error.message);
    });
    this.#child.on("message", (message) => events.message(this, message));
    this.#child.once("exit", (code, signal) => {
      this.#exit = { code, signal };
      void this.#output.lastWords().then((output) => {
        events.exited(this, { code, signal }, output);
      });
    });
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What a reactor needs of it: channel and agent's stream; empty once released. */
  get descriptors(): readonly number[] {
    return this.#channel < 0 ? [] : [this.#channel, this.#agent];
  }

  get hasExited(): boolean {
    return this.#exit !== null || this.#child.pid === undefined;
  }

  /** Sends a signal; nothing happens when it has ended. */
  signal(signal: NodeJS.Signals): void {
    if (!this.hasExited) this.#child.kill(signal);
  }

  /** No reactor will need its descriptors any more. */
  release(): void {
    this.descriptors.forEach(closeDescriptor);
    this.#channel = -1;
    this.#agent = -1;
  }

  /** Resolves when all that it wrote has been passed on. */
  flush(): Promise<void> {
    return this.#output.flush();
  }
}

function start(
  order: WorkerOrder,
  { config, environment }: Version,
  given: readonly (number | "ipc")[],
  synchronous: number,
): ChildProcess {
  const { id, index, generation, heapLimitBytes, env } = order;
  const options = config.env["NODE_OPTIONS"] ?? environment["NODE_OPTIONS"] ?? "";
  // Not --disable-sigusr1: it blocks that signal, and the application's own handler never runs.
  const heap = [...heapFlags(heapLimitBytes, config.nodeArgs, options), ...nearLimitFlags(config)];
  const ours = [...heap, "--require", PRELOAD];
  return spawn(process.execPath, [...ours, ...config.nodeArgs, config.entry, ...config.args], {
    cwd: config.cwd,
    env: {
      ...environment,
      ...env,
      ...config.env,
      HOLDFAST_WORKER_ID: String(id),
      HOLDFAST_WORKER_INDEX: String(index),
      HOLDFAST_WORKER_GENERATION: String(generation),
      HOLDFAST_WORKER_FLOW: JSON.stringify(flowOrders(config)),
      HOLDFAST_WORKER_JOURNAL_LIMIT: String(config.journalLimitBytes),
      HOLDFAST_WORKER_SYNCHRONOUS: String(synchronous),
    },
    stdio: [index === 0 ? "inherit" : "ignore", "pipe", "pipe", ...given],
    // A session of its own: Ctrl-C in the terminal is for us, who then drain the worker.
    detached: true,
  });
}
