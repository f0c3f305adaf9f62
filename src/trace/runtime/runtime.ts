/**
 * All traces of one process. Loaded into the application's process when its first trace starts, and
 * never before.
 */
import { BUDGET_SHARE, EXPIRY_MS } from "../../base/mod.ts";
import { TRACES_MAX } from "../limits.ts";
import type { WatchedLine } from "../../base/mod.ts";
import type { TraceSnapshot } from "../merge.ts";
import { userProbes } from "../user-probes.ts";
import type { UserProbe } from "../user-probes.ts";
import { TraceInstance } from "./instance.ts";
import { Lines } from "./lines.ts";
import { Patches } from "./patches.ts";

/** What a trace is asked to be. */
export interface TraceRequest {
  readonly program: string;
  readonly worker: number;
  readonly isDestructive?: boolean;
  readonly budget?: number;
  readonly expiryMs?: number;
}

export class TraceRuntime {
  readonly #patches: Patches = new Patches();
  readonly #lines: Lines = new Lines();
  readonly #traces: Map<number, TraceInstance> = new Map();

  /** How many functions of the application and of Node are replaced now. */
  get patched(): number {
    return this.#patches.size;
  }

  /**
   * Starts a trace.
   * @returns null, or why it did not start
   */
  start(id: number, request: TraceRequest): string | null {
    return this.#quietly(() => this.#start(id, request));
  }

  #start(id: number, request: TraceRequest): string | null {
    for (const [known, trace] of this.#traces) if (trace.isAbandoned) this.#traces.delete(known);
    this.#stop(id); // of a former reactor, which counted from 1 too
    const on = [...this.#traces.values()].filter(({ isOn }) => isOn);
    if (on.length >= TRACES_MAX) return `${TRACES_MAX} traces are on in this worker already`;
    const { program, worker, isDestructive = false } = request;
    const { budget = BUDGET_SHARE, expiryMs = EXPIRY_MS } = request;
    try {
      const trace = new TraceInstance(
        program,
        { worker, isDestructive, budget, expiryMs },
        this.#patches.gate,
      );
      this.#traces.set(id, trace);
      trace.attach(this.#patches, this.#lines);
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** What the agent has to watch for a trace. */
  lines(id: number): readonly WatchedLine[] {
    return this.#lines.of(this.#traces.get(id)?.sites ?? []);
  }

  /** What a trace has so far; null when there is none of that id. */
  snapshot(id: number): TraceSnapshot | null {
    return this.#quietly(() => this.#traces.get(id)?.snapshot() ?? null);
  }

  /** Ends a trace and forgets it; its last figures. */
  stop(id: number): TraceSnapshot | null {
    return this.#quietly(() => this.#stop(id));
  }

  #stop(id: number): TraceSnapshot | null {
    const trace = this.#traces.get(id);
    if (trace === undefined) return null;
    trace.end("it was stopped");
    this.#traces.delete(id);
    return trace.snapshot();
  }

  /** What we do ourselves is not traced. */
  #quietly<T>(run: () => T): T {
    const { gate } = this.#patches;
    gate.isClosed = true;
    try {
      return run();
    } finally {
      gate.isClosed = false;
    }
  }

  /** The probes that the application has made. */
  probes(): readonly UserProbe[] {
    return userProbes();
  }
}
