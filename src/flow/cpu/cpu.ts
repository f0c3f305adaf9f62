/**
 * A pool of threads for what keeps a CPU busy, so that the event loop goes on: bounded, accounted
 * for, and ended with the deadline of who asked.
 *
 * ```
 *   const hash = cpu(new URL("./hash.js", import.meta.url));    its default export is the task
 *   const digest = await hash.run(password);
 * ```
 */
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type * as PiscinaModule from "piscina";
import { currentContext } from "../context.ts";
import type { Criticality } from "../context.ts";
import { checkNames, checkNumber, refuseOption } from "../errors.ts";
import { Gate } from "../gate.ts";
import type { GateStats, QueueOptions } from "../gate.ts";
import type { Permit } from "../visitor.ts";
import { account, outcomeOf } from "../work.ts";
import type { Account } from "../work.ts";

export interface CpuOptions {
  /** Default: one less than there are CPUs, at least one. */
  readonly threads?: number;
  readonly queue?: QueueOptions;
  /** In the accounts; default: the file's name. */
  readonly name?: string;
  /** Of each thread's heap; default: V8's. */
  readonly heapMiB?: number;
}

export interface CpuRunOptions {
  readonly signal?: AbortSignal;
  readonly criticality?: Criticality;
}

type Piscina = PiscinaModule.Piscina;

/** A task's file, and the threads that run it. */
export class CpuPool<Input, Output> {
  readonly name: string;
  readonly #gate: Gate;
  readonly #threads: Piscina;
  /** Told with each task: one that cannot be loaded fails these, not the thread and the process. */
  readonly #filename: string;
  readonly #account: Account = account("cpu");

  /** @throws FlowError ERR_HOLDFAST_FLOW_OPTION */
  constructor(task: URL | string, options: CpuOptions) {
    const filename = task instanceof URL ? fileURLToPath(task) : task;
    if (typeof filename !== "string") refuseOption("task", task, "the URL or the path of a file");
    this.#filename = filename;
    checkNames(options, { threads: true, queue: true, name: true, heapMiB: true });
    const threads = checkNumber(
      "threads",
      options.threads,
      Math.max(1, availableParallelism() - 1),
      { min: 1, max: 1024 },
    );
    this.name = options.name ?? filename.split(/[/\\]/).at(-1) ?? filename;
    this.#gate = new Gate({
      name: `cpu ${this.name}`,
      limit: { kind: "fixed", max: threads },
      queue: { targetMs: 100, intervalMs: 500, ...options.queue },
      account: null,
    });
    // a dependency of ours, loaded when the first pool is made
    const { Piscina: Threads } = createRequire(import.meta.url)("piscina") as typeof PiscinaModule;
    const heap = options.heapMiB;
    this.#threads = new Threads({
      minThreads: 0,
      maxThreads: Math.floor(threads),
      idleTimeout: 10_000,
      ...(heap === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: heap } }),
    });
  }

  /**
   * Runs the task on a thread. When the deadline of the context, or the signal, ends it, the thread
   * is ended with it.
   *
   * @throws Overloaded, DeadlineExceeded, or what the task throws, or the loading of its file
   */
  async run(input: Input, options: CpuRunOptions = {}): Promise<Output> {
    const deadline = currentContext()?.deadline ?? null;
    const until = deadline !== null && Number.isFinite(deadline.atMs) ? deadline.atMs : 0;
    const work = this.#account.begin(this.name, until);
    this.#account.state(work, "queued");
    let permit: Permit | null = null;
    const controller = new AbortController();
    const abort = (): void => controller.abort(options.signal?.reason);
    const leave = deadline?.onAbort((reason) => controller.abort(reason));
    options.signal?.addEventListener("abort", abort, { once: true });
    try {
      permit = await this.#gate.enter({ ...options, deadline });
      this.#account.state(work, "running");
      // what its file exports
      const output = (await this.#threads.run(input, {
        filename: this.#filename,
        signal: controller.signal,
      })) as Output;
      permit.release("ok");
      this.#account.end(work, "ok");
      return output;
    } catch (error) {
      const why: unknown = controller.signal.aborted ? controller.signal.reason : error;
      permit?.release("ignore");
      this.#account.end(work, controller.signal.aborted ? outcomeOrCancelled(why) : outcomeOf(why));
      throw why;
    } finally {
      leave?.();
      options.signal?.removeEventListener("abort", abort);
    }
  }

  stats(): GateStats {
    return this.#gate.stats();
  }

  /** Refuses what waits, and ends the threads. */
  async close(): Promise<void> {
    this.#gate.close();
    await this.#threads.destroy();
  }
}

function outcomeOrCancelled(why: unknown): ReturnType<typeof outcomeOf> {
  const outcome = outcomeOf(why);
  return outcome === "error" ? "cancelled" : outcome;
}

/**
 * Threads for a task: a file whose default export is a function of one argument.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function cpu<Input = unknown, Output = unknown>(
  task: URL | string,
  options: CpuOptions = {},
): CpuPool<Input, Output> {
  return new CpuPool(task, options);
}
