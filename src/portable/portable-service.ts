/**
 * The service in portable mode: supervisor, workers and status, wired to each other. What the
 * reactor knows from the ledger, this one knows from the workers' own beats.
 *
 * ```
 *   control socket --> supervisor --spawn, drain, signal--> workers
 *   status <-- last beats <--------- beat, ready, exited ------+
 * ```
 */
import { totalmem } from "node:os";
import { join } from "node:path";
import { VERSION } from "../base/mod.ts";
import type { Environment, ExitInfo, ResolvedConfig, WorkerIdentity } from "../base/mod.ts";
import {
  MemoryWatch,
  Supervisor,
  Versions,
  assembleStatus,
  memoryPlan,
} from "../supervision/mod.ts";
import type {
  ControlledService,
  CrashEvidence,
  OperationResult,
  ProgressListener,
  Status,
  SupervisorPorts,
  WorkerDeath,
  WorkerFigures,
} from "../supervision/mod.ts";
import type { PortableAgents } from "./agents.ts";
import type { PortableWorker, StartWorker, WorkerEvents } from "./cluster-worker.ts";
import { Silence, beatIntervalMs } from "./silence.ts";
import { describeListeners, evidenceOf, figuresOf, usageOf } from "./worker-record.ts";
import type { WorkerRecord } from "./worker-record.ts";

/**
 * A client that uses its connection all the time asks within this, and hears that its answer is the
 * last one there. Who does not will see an idle connection end, as after any keep-alive timeout.
 */
const LINGER_MS = 2000;

export interface PortableServicePorts {
  /** Monotonic milliseconds. */
  now(): number;
  readonly start: StartWorker;
  /** Missing: workers get none. */
  readonly agents?: PortableAgents;
  /** Reads the configuration again, in an environment that may be another one now. */
  reread(environment: Environment): Promise<ResolvedConfig>;
  log: SupervisorPorts["log"];
  /** A line that a worker wrote. */
  line(worker: WorkerIdentity, pid: number, stream: "stdout" | "stderr", line: string): void;
  /** A worker has ended; `evidence` is what its last beat said. */
  gone(death: WorkerDeath, evidence: () => CrashEvidence): void;
  /** Every worker has gone, or cannot be made to go. */
  finish(code: number): void;
}

interface Running extends WorkerRecord {
  readonly identity: WorkerIdentity;
  readonly worker: PortableWorker;
}

/** See the file's docstring. */
export class PortableService {
  readonly #ports: PortableServicePorts;
  readonly #supervisor: Supervisor;
  readonly #versions: Versions;
  readonly #silence: Silence;
  readonly #memoryWatch: MemoryWatch;
  readonly #running = new Map<number, Running>();
  readonly #startedAt = new Date().toISOString();
  /** Workers that have ended, while children of theirs may still write. */
  readonly #ended = new Set<PortableWorker>();
  /** Of workers that have gone. */
  readonly #gone = { accepted: 0, requests: 0 };
  #config: ResolvedConfig;
  #environment: Environment;
  /** As the supervisor has it: `scale` may have changed it. */
  #workers: number;
  #isRereading = false;
  /** Of whom the supervisor is being told. */
  #exiting: WorkerRecord | null = null;
  /** Of the same, when it last stalled. */
  #lastStack: readonly string[] = [];

  constructor(config: ResolvedConfig, environment: Environment, ports: PortableServicePorts) {
    this.#ports = ports;
    this.#config = config;
    this.#environment = environment;
    this.#workers = config.workers;
    this.#versions = new Versions({ config, environment });
    this.#silence = new Silence(ports.now());
    this.#memoryWatch = new MemoryWatch(this.#memoryPlan().watchBytes, {
      now: () => ports.now(),
      workers: () => [...this.#running.values()].map(idAndPid),
      measure: () => undefined, // the workers measure themselves
      usage: (pid) => usageOf(this.#byPid(pid)),
      overMemory: (id) => this.#supervisor.overMemory(id),
    });
    const { readyTimeoutMs, drainTimeoutMs, restartIntensity, workers, entry } = config;
    this.#supervisor = new Supervisor(
      { readyTimeoutMs, drainTimeoutMs, restartIntensity, workers, entry },
      this.#supervisorPorts(),
    );
  }

  /** Starts the first worker. */
  boot(): void {
    this.#supervisor.boot();
  }

  /** Deadlines, silences, memory; to be called every TICK_MS. */
  tick(): void {
    for (const id of this.#ports.agents?.tick() ?? []) this.#silence.heard(id);
    for (const id of this.#silence.tick(this.#ports.now(), this.#config.stallLimitMs)) {
      this.#supervisor.stalled(id);
    }
    this.#supervisor.tick();
    this.#memoryWatch.tick();
  }

  /** Reads the configuration again, then replaces every worker. */
  async reload(
    updateEnv: Environment | null,
    onProgress: ProgressListener,
  ): Promise<OperationResult> {
    if (this.#isRereading) {
      return { ok: false, message: "another reload reads the configuration", refused: "busy" };
    }
    const environment = updateEnv ?? this.#environment;
    this.#isRereading = true;
    let read: ResolvedConfig;
    try {
      read = await this.#ports.reread(environment);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { ok: false, message: `the configuration is wrong: ${why}` };
    } finally {
      this.#isRereading = false;
    }
    this.#environment = environment;
    this.#config = this.#asScaled(read);
    this.#versions.reread({ config: read, environment });
    this.#supervisor.configure(this.#config);
    this.#memoryWatch.configure(this.#memoryPlan().watchBytes);
    return this.#supervisor.reload(onProgress, this.#config.workers);
  }

  /** What `holdfast scale` has set holds until the configuration has another number than before. */
  #asScaled(read: ResolvedConfig): ResolvedConfig {
    const { config: before } = this.#versions.serves(this.#supervisor.generation);
    return read.workers === before.workers ? { ...read, workers: this.#workers } : read;
  }

  /** Drains all workers, or kills them; `code` is then the run's exit code. */
  stop(isNow: boolean, code?: number): Promise<OperationResult> {
    return this.#supervisor.stop(isNow, code);
  }

  /** Kills every worker, whatever the supervisor thinks. */
  kill(): void {
    for (const { worker } of this.#running.values()) worker.signal("SIGKILL");
  }

  /** Resolves when all that the workers wrote has been passed on. */
  async flush(): Promise<void> {
    const running = [...this.#running.values()].map(({ worker }) => worker);
    await Promise.all([...running, ...this.#ended].map((worker) => worker.flush()));
  }

  /** What the control socket offers. */
  controlled(): ControlledService {
    return {
      status: () => this.#status(),
      reload: (updateEnv, onProgress) => this.reload(updateEnv, onProgress),
      restart: (index, onProgress) => this.#supervisor.restart(index, onProgress),
      scale: (workers, onProgress) => this.#supervisor.scale(workers, onProgress),
      stop: (isNow) => this.stop(isNow),
      logPath: join(this.#config.runtimeDir, `${this.#config.name}.log`),
      latency: null,
      work: null,
      traces: this.#ports.agents?.traces ?? null,
      live: this.#ports.agents?.live ?? null,
    };
  }

  #supervisorPorts(): SupervisorPorts {
    return {
      now: () => this.#ports.now(),
      spawn: (identity) => this.#spawn(identity),
      feed: () => undefined, // node:cluster feeds every worker that listens
      drain: (id, move) => this.#running.get(id)?.worker.drain(move ? this.#lingerMs() : 0),
      recover: (id) => queueMicrotask(() => this.#supervisor.recovered(id)), // nothing can be
      signal: (id, signal) => this.#running.get(id)?.worker.signal(signal),
      gone: (death) => {
        const record = this.#exiting;
        const stack = this.#lastStack;
        this.#ports.gone(death, () => ({ ...evidenceOf(record, this.#ports.now()), stack }));
      },
      commit: ({ generation, workers }) => {
        this.#versions.serves(generation);
        this.#workers = workers;
      },
      finish: (code) => this.#ports.finish(code),
      log: this.#ports.log,
    };
  }

  /** While others take new connections, clients of idle ones get the time to ask once more. */
  #lingerMs(): number {
    return Math.min(LINGER_MS, this.#config.drainTimeoutMs / 2);
  }

  #spawn(identity: WorkerIdentity): void {
    const { id, generation } = identity;
    const { heapLimitBytes } = this.#memoryPlan();
    const { agents = null } = this.#ports;
    const { stallLimitMs, stallWarnMs } = this.#config;
    const interval = beatIntervalMs(stallLimitMs, agents === null ? 0 : stallWarnMs);
    const agent = agents?.expect(identity) ?? null;
    const order = { ...identity, heapLimitBytes, beatIntervalMs: interval, agent };
    try {
      const worker = this.#ports.start(order, this.#versions.of(generation), this.#events(id));
      this.#running.set(id, {
        identity,
        worker,
        beat: null,
        cpuPercent: 0,
        beatAtMs: this.#ports.now(),
      });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      agents?.forget(id);
      queueMicrotask(() => this.#supervisor.spawnFailed(id, message));
    }
  }

  #events(id: number): WorkerEvents {
    const running = (): Running | undefined => this.#running.get(id);
    return {
      spawned: (pid) => {
        this.#ports.agents?.spawned(id, pid);
        this.#supervisor.spawned(id, pid);
      },
      spawnFailed: (message) => {
        this.#running.delete(id);
        this.#ports.agents?.forget(id);
        this.#supervisor.spawnFailed(id, message);
      },
      ready: () => {
        this.#silence.heard(id);
        this.#ports.agents?.ready(id);
        this.#supervisor.ready(id);
      },
      beat: (beat) => this.#heard(id, beat),
      drained: () => this.#supervisor.drained(id),
      disconnected: () => this.#silence.forget(id),
      exited: (exit, output) => this.#exited(id, exit, output),
      line: (stream, line) => {
        const record = running();
        if (record !== undefined) {
          this.#ports.line(record.identity, record.worker.pid, stream, line);
        }
      },
    };
  }

  #heard(id: number, beat: NonNullable<WorkerRecord["beat"]>): void {
    const record = this.#running.get(id);
    if (record === undefined) return;
    this.#silence.heard(id);
    this.#ports.agents?.heard(id);
    const now = this.#ports.now();
    const elapsedMs = now - record.beatAtMs;
    const { cpuMs = 0 } = record.beat ?? {};
    if (elapsedMs > 0) record.cpuPercent = (100 * Math.max(0, beat.cpuMs - cpuMs)) / elapsedMs;
    record.beat = beat;
    record.beatAtMs = now;
  }

  #exited(id: number, exit: ExitInfo, output: string): void {
    for (const worker of this.#ended) if (worker.isSilent) this.#ended.delete(worker);
    const record = this.#running.get(id);
    this.#gone.accepted += record?.beat?.accepted ?? 0;
    this.#gone.requests += record?.beat?.requests ?? 0;
    if (record !== undefined) this.#ended.add(record.worker);
    this.#running.delete(id);
    this.#silence.forget(id);
    this.#lastStack = this.#ports.agents?.forget(id) ?? [];
    this.#exiting = record ?? null;
    this.#supervisor.exited(id, exit, output);
    this.#exiting = null;
  }

  #memoryPlan(): ReturnType<typeof memoryPlan> {
    return memoryPlan(this.#config.memoryLimitBytes, totalmem(), this.#config.workers);
  }

  #byPid(pid: number): Running | undefined {
    return [...this.#running.values()].find(({ worker }) => worker.pid === pid);
  }

  #figures(id: number): WorkerFigures | null {
    const record = this.#running.get(id);
    return record === undefined ? null : figuresOf(record, this.#ports.now());
  }

  #status(): Status {
    const { name, accept, entry } = this.#config;
    const records = [...this.#running.values()];
    const beats = records.map(({ beat }) => beat).filter((beat) => beat !== null);
    const sum = (key: "accepted" | "requests" | "connections"): number =>
      beats.reduce((total, beat) => total + beat[key], 0);
    return assembleStatus({
      service: {
        name,
        version: VERSION,
        pid: process.pid,
        reactorPid: process.pid, // this process plays both
        reactorRestarts: 0,
        mode: "portable",
        accept,
        startedAt: this.#startedAt,
        entry,
      },
      supervisor: this.#supervisor,
      nowMs: Date.now(),
      acceptPaused: null,
      notes: [],
      listeners: describeListeners(records),
      totals: {
        accepted: this.#gone.accepted + sum("accepted"),
        moved: 0,
        replayed: 0,
        refused: 0,
        aborted: 0,
        restarts: this.#supervisor.restarts,
        requests: this.#gone.requests + sum("requests"),
        requestsOfDeath: 0,
        journalFull: 0,
      },
      limits: { connections: sum("connections"), connectionsMax: 0, descriptorsMax: 0 },
      figures: ({ id }) => this.#figures(id),
      usage: (pid) => usageOf(this.#byPid(pid)),
    });
  }
}

function idAndPid({ identity, worker }: Running): { readonly id: number; readonly pid: number } {
  return { id: identity.id, pid: worker.pid };
}
