/** What the supervisor is given, what it gives back, and its bounds. */
import type { WorkerIdentity } from "../base/mod.ts";
import type { WorkerDeath } from "./crash-report.ts";

/** From SIGTERM to SIGKILL: the worker is drained by then and has only itself to tidy up. */
export const STOP_GRACE_MS = 5000;
/**
 * A frozen worker is killed after this, should the recovery of its connections (milliseconds) and
 * the copy of its memory (`--core`: a second for a gigabyte) not report.
 */
export const STALL_RECOVERY_MS = 25_000;
/** How long to wait for a process that was sent SIGKILL before saying so (or ending without it). */
export const KILL_WAIT_MS = 5000;
/** After a replacement because of memory failed, the next one at this index waits. */
export const REPLACE_RETRY_MS = 10_000;
/** More workers than this is a mistake in the request. */
export const WORKERS_MAX = 256;

/** EX_SOFTWARE of sysexits.h: every worker was restarted too often. See docs/exit-codes.md. */
export const EXIT_GAVE_UP = 70;
/** EX_TEMPFAIL of sysexits.h: the first worker was not ready in time. */
export const EXIT_NOT_READY = 75;

/** The supervisor's hands. None of them may call back into it before it returns. */
export interface SupervisorPorts {
  /** Monotonic milliseconds. */
  now(): number;
  /** Ask for a process; answered by `spawned` or `spawnFailed`, later `exited`. */
  spawn(worker: WorkerIdentity): void;
  /** The worker is ready and it is its turn: give it connections. */
  feed(id: number): void;
  /** Stop feeding it; move or close its idle connections. Answered by `drained`. May come twice. */
  drain(id: number, move: boolean): void;
  /** It is frozen: recover its connections. Answered by `recovered`. */
  recover(id: number): void;
  signal(id: number, signal: "SIGTERM" | "SIGKILL" | "SIGSTOP"): void;
  /** A worker has ended, for whatever reason; comes before what is done about it. */
  gone(death: WorkerDeath): void;
  /** What the next reactor must know, should this one die. */
  commit(state: CommittedState): void;
  /** The run ends: every worker has gone, or cannot be made to go. */
  finish(code: number, reason: string): void;
  log(level: "debug" | "info" | "warn" | "error", message: string, fields: LogFields): void;
}

export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

export interface CommittedState {
  /** The generation that serves; 0: none has been ready yet. */
  readonly generation: number;
  readonly workers: number;
  readonly stopping: boolean;
}

/** What the supervisor needs of the configuration. */
export interface SupervisorLimits {
  readonly readyTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly restartIntensity: { readonly restarts: number; readonly periodMs: number };
}

export interface SupervisorOptions extends SupervisorLimits {
  readonly workers: number;
  /** For messages. */
  readonly entry: string;
}

/** A worker that a former reactor left, as the ledger and the keeper know it. */
export interface AdoptedWorker extends WorkerIdentity {
  readonly pid: number;
  readonly phase: "starting" | "ready" | "draining" | "stopping";
}

/** What a former reactor left besides its workers. */
export interface Inheritance {
  /** As last committed. */
  readonly generation: number;
  /** The highest id and the highest generation that were ever given out. */
  readonly lastId: number;
  readonly lastGeneration: number;
}

export type WorkerState =
  | "starting"
  | "ready"
  | "stalled"
  | "draining"
  | "stopping"
  | "backoff"
  | "failed";

/** A worker as `status` shows it; `pid` 0 and `id` 0 where there is no process. */
export interface WorkerView extends WorkerIdentity {
  readonly pid: number;
  readonly state: WorkerState;
  /** A candidate is to take over; one that leaves serves what it has and goes. */
  readonly role: "current" | "candidate" | "leaving";
  readonly restarts: number;
  readonly lastExit: string | null;
}

export type ServiceState = "starting" | "running" | "reloading" | "stopping" | "degraded";

export type RunPhase = "idle" | "first" | "rest" | "up" | "ending" | "ended";

export const RUN_EDGES: Readonly<Record<RunPhase, readonly RunPhase[]>> = {
  idle: ["first", "rest"],
  first: ["rest", "ending"],
  rest: ["up", "ending"],
  up: ["ending"],
  ending: ["ended"],
  ended: [],
};
