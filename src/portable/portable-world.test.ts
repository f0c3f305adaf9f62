/** For tests: a portable service whose workers are played, and whose clock stands still. */
import type { ResolvedConfig } from "../base/mod.ts";
import type { CrashEvidence, Status, Version, WorkerDeath } from "../supervision/mod.ts";
import type { StartWorker, WorkerEvents, WorkerOrder } from "./cluster-worker.ts";
import { PortableService } from "./portable-service.ts";
import { TICK_MS } from "./silence.ts";
import type { Beat } from "./worker-messages.ts";

export const EXAMPLE_BEAT: Beat = {
  type: "beat",
  accepted: 5,
  connections: 2,
  inFlight: 1,
  oldest: { method: "GET", path: "/slow", ageMs: 400 },
  requests: 9,
  loopLagMs: 1,
  heapLimitBytes: 512 * 1024 * 1024,
  rssBytes: 64 * 1024 * 1024,
  privateBytes: 16 * 1024 * 1024,
  cpuMs: 100,
  listeners: [{ address: "127.0.0.1", port: 8080, kind: "tcp" }],
};

export const CONFIG: ResolvedConfig = {
  entry: "/srv/shop/server.js",
  args: [],
  cwd: "/srv/shop",
  name: "shop",
  workers: 2,
  accept: "reactor",
  replay: "idempotent",
  readyTimeoutMs: 30_000,
  drainTimeoutMs: 10_000,
  stallLimitMs: 1000,
  stallWarnMs: 0,
  stallRescue: false,
  asyncOrigin: "adaptive",
  traceContext: false,
  core: null,
  heapSnapshotNearHeapLimit: 0,
  coreLimitBytes: 2 ** 31,
  gate: "observe",
  deadlineMs: 0,
  deadlinesMs: {},
  pipeStallMs: 0,
  pipeDestroyMs: 0,
  memoryLimitBytes: 0,
  journalLimitBytes: 65_536,
  env: {},
  nodeArgs: [],
  watch: [],
  admin: null,
  otlp: null,
  portable: true,
  json: false,
  restartIntensity: { restarts: 10, periodMs: 60_000 },
  runtimeDir: "/run/holdfast",
};

/** A process that does what the test says. */
export class PlayedWorker {
  readonly pid: number;
  readonly isSilent = true;
  readonly order: WorkerOrder;
  readonly version: Version;
  readonly events: WorkerEvents;
  readonly lingers: number[] = [];
  readonly signals: string[] = [];

  constructor(pid: number, order: WorkerOrder, version: Version, events: WorkerEvents) {
    this.pid = pid;
    this.order = order;
    this.version = version;
    this.events = events;
  }

  drain(lingerMs: number): void {
    this.lingers.push(lingerMs);
  }

  signal(signal: string): void {
    this.signals.push(signal);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  /** Comes up and listens. */
  start(): void {
    this.events.spawned(this.pid);
    this.events.beat(EXAMPLE_BEAT);
    this.events.ready();
  }

  end(code: number | null, signal: string | null = null): void {
    this.events.disconnected();
    this.events.exited({ code, signal }, "its last words");
  }
}

/** See the file's docstring. */
export class World {
  readonly workers: PlayedWorker[] = [];
  readonly finishes: number[] = [];
  readonly deaths: { readonly death: WorkerDeath; readonly evidence: CrashEvidence }[] = [];
  readonly log: string[] = [];
  readonly service: PortableService;
  /** What reading the configuration again gives. */
  config: ResolvedConfig = CONFIG;
  failsToStart: string | null = null;
  #nowMs = 0;

  constructor() {
    const start: StartWorker = (order, version, events) => {
      if (this.failsToStart !== null) throw new Error(this.failsToStart);
      const worker = new PlayedWorker(1000 + order.id, order, version, events);
      this.workers.push(worker);
      return worker;
    };
    this.service = new PortableService(
      CONFIG,
      { PATH: "/bin" },
      {
        now: () => this.#nowMs,
        start,
        reread: () => Promise.resolve(this.config),
        log: (_level, message) => void this.log.push(message),
        line: () => undefined,
        gone: (death, evidence) => void this.deaths.push({ death, evidence: evidence() }),
        finish: (code) => void this.finishes.push(code),
      },
    );
  }

  /** The n-th process that was started. */
  at(index: number): PlayedWorker {
    const worker = this.workers[index];
    if (worker === undefined) throw new Error(`no worker ${index} was started`);
    return worker;
  }

  /** Both workers serve. */
  run(): void {
    this.service.boot();
    this.at(0).start();
    this.at(1).start();
  }

  /** Lets time pass; `beating` workers tell of themselves meanwhile. */
  advance(ms: number, beating: readonly PlayedWorker[] = this.workers): void {
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      this.#nowMs += TICK_MS;
      for (const worker of beating) worker.events.beat(EXAMPLE_BEAT);
      this.service.tick();
    }
  }

  status(): Status {
    return this.service.controlled().status();
  }

  states(): string[] {
    return this.status().workers.map(({ index, state }) => `${index} ${state}`);
  }
}
