/** Callbacks that have failed, told to all workers, also those to come (worker/async-origin.ts). */
import type { AsyncFailure, ResolvedConfig } from "../base/mod.ts";
import type { WorkerLink } from "./worker-link.ts";

/** They travel in a variable of the environment; each has some hundred bytes. */
const FAILURES_MAX = 16;

export class Origins {
  readonly #failures: Map<string, AsyncFailure> = new Map();

  /** Of a callback that has failed in the worker `from`. */
  note(failure: AsyncFailure, from: WorkerLink, links: Iterable<WorkerLink>): void {
    for (const link of links) if (link !== from) link.send({ type: "async-failure", failure });
    const key = JSON.stringify(failure);
    this.#failures.delete(key);
    this.#failures.set(key, failure);
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > FAILURES_MAX && oldest !== undefined) this.#failures.delete(oldest);
  }

  /** What a new worker is told. */
  environment({
    asyncOrigin: mode,
    core,
    traceContext,
  }: ResolvedConfig): Readonly<Record<string, string>> {
    const orders = { mode, armed: [...this.#failures.values()] };
    return {
      HOLDFAST_WORKER_ORIGINS: JSON.stringify(orders),
      HOLDFAST_WORKER_CORE: core === null ? "0" : "1",
      HOLDFAST_WORKER_TRACE_CONTEXT: traceContext ? "1" : "0",
    };
  }
}
