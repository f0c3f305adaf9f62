/**
 * Agents of workers in portable mode: what the primary wants of whoever looks after them. They are
 * given to it from above, as this mode itself loads nothing that needs Linux.
 */
import type { WorkerOptions } from "node:worker_threads";
import type { WorkerIdentity } from "../base/mod.ts";
import type { ControlledLive, ControlledTraces } from "../supervision/mod.ts";

/** What a worker's preload needs to start its agent. */
export interface AgentStart {
  /** URL of the agent's program. */
  readonly main: string;
  /** Where it connects to; only it does. */
  readonly socketPath: string;
  readonly options: Omit<WorkerOptions, "workerData">;
}

export interface PortableAgents {
  readonly live: ControlledLive;
  readonly traces: ControlledTraces;
  /** A worker is about to be started. */
  expect(worker: WorkerIdentity): AgentStart;
  /** Its process is there. */
  spawned(id: number, pid: number): void;
  /** It makes progress. */
  heard(id: number): void;
  /** It serves. */
  ready(id: number): void;
  /** It has ended. Its main thread's stack when it last stalled; empty: it never did. */
  forget(id: number): readonly string[];
  /** SIGUSR2: addresses for debuggers, or an end of them. */
  debugSignalled(): void;
  /** Workers that are held on purpose: no stall. Called every TICK_MS. */
  tick(): readonly number[];
}
