/** A made-up machine for the tests of the supervisor: keeper, workers and clock. No test itself. */
import assert from "node:assert/strict";
import type { WorkerIdentity } from "../base/mod.ts";
import type { WorkerDeath } from "./crash-report.ts";
import type { OperationResult } from "./operation.ts";
import type { CommittedState, SupervisorOptions } from "./supervisor-types.ts";
import { Supervisor } from "./supervisor.ts";

export const OPTIONS: SupervisorOptions = {
  workers: 2,
  entry: "/app/server.js",
  readyTimeoutMs: 30_000,
  drainTimeoutMs: 20_000,
  restartIntensity: { restarts: 3, periodMs: 60_000 },
};

/** A process of the made-up machine that the supervisor runs on. */
export interface Process extends WorkerIdentity {
  state: "asked" | "running";
  readonly signals: string[];
  isFed: boolean;
  drain: "move" | "close" | null;
}

/** The keeper, the workers and the clock, all made up. */
export class World {
  now = 1000;
  readonly processes = new Map<number, Process>();
  readonly log: string[] = [];
  readonly commits: CommittedState[] = [];
  readonly finishes: { code: number; reason: string; left: number }[] = [];
  readonly recovering: number[] = [];
  readonly deaths: WorkerDeath[] = [];
  readonly supervisor: Supervisor;

  constructor(options: Partial<SupervisorOptions> = {}) {
    this.supervisor = new Supervisor(
      { ...OPTIONS, ...options },
      {
        now: () => this.now,
        spawn: (worker) => {
          this.processes.set(worker.id, {
            ...worker,
            state: "asked",
            signals: [],
            isFed: false,
            drain: null,
          });
        },
        feed: (id) => void (this.process(id).isFed = true),
        drain: (id, move) => void (this.process(id).drain = move ? "move" : "close"),
        recover: (id) => void this.recovering.push(id),
        signal: (id, signal) => void this.process(id).signals.push(signal),
        gone: (death) => void this.deaths.push(death),
        commit: (state) => void this.commits.push(state),
        finish: (code, reason) => {
          this.finishes.push({ code, reason, left: this.processes.size });
        },
        log: (level, message) => void this.log.push(`${level}: ${message}`),
      },
    );
  }

  /** A copy: processes may end while the caller walks through it. */
  living(): Process[] {
    return Array.from(this.processes.values());
  }

  process(id: number): Process {
    const process = this.processes.get(id);
    assert.ok(process, `there is a process ${id}`);
    return process;
  }

  /** The newest process at an index. */
  at(index: number): Process {
    const process = this.living().findLast((candidate) => candidate.index === index);
    assert.ok(process, `there is a process at ${index}`);
    return process;
  }

  spawned(process: Process): void {
    process.state = "running";
    this.supervisor.spawned(process.id, 10_000 + process.id);
  }

  /** Lets it start and become ready. */
  ready(process: Process): Process {
    if (process.state === "asked") this.spawned(process);
    this.supervisor.ready(process.id);
    return process;
  }

  readyAll(): void {
    for (const process of this.living()) this.ready(process);
  }

  exit(process: Process, code: number | null, signal: string | null = null, output = ""): void {
    this.processes.delete(process.id);
    this.supervisor.exited(process.id, { code, signal }, output);
  }

  advance(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now = Math.min(end, this.now + 100);
      this.supervisor.tick();
    }
  }

  /** Ends every process that was told to end. */
  obey(): void {
    for (const process of this.living()) {
      if (process.state === "asked") this.spawned(process);
      if (process.signals.includes("SIGKILL")) this.exit(process, null, "SIGKILL");
      else if (process.signals.includes("SIGTERM")) this.exit(process, 0);
    }
  }

  states(): string[] {
    return this.supervisor.workers().map(({ index, state, role }) => `${index} ${state} ${role}`);
  }
}

export function running(options: Partial<SupervisorOptions> = {}): World {
  const world = new World(options);
  world.supervisor.boot();
  world.ready(world.at(0));
  world.readyAll();
  assert.equal(world.supervisor.state, "running");
  return world;
}

export const ignore = (): void => undefined;

export async function resultOf(promise: Promise<OperationResult>): Promise<OperationResult> {
  const pending: OperationResult = { ok: false, message: "still pending" };
  return Promise.race([
    promise,
    new Promise<typeof pending>((resolve) => {
      setImmediate(() => resolve(pending));
    }),
  ]);
}
