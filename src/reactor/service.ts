/**
 * The reactor's whole: keeper, workers, listeners, retention, supervision and control, wired to
 * each other. What each of them does is in its own file; this one only passes on.
 *
 * ```
 *   keeper ==> onKeeper --> supervisor <--> links --> workers
 *                             |  recover      ^ connections, drain
 *   listeners --> retention --+---------------+
 *   control socket --> supervisor, status
 * ```
 */
import { totalmem } from "node:os";
import { join } from "node:path";
import {
  PACKET_CLOSED,
  PACKET_JSON,
  PACKET_OPAQUE,
  PACKET_RELEASED,
  PACKET_RETAIN,
  PACKET_TRACE,
} from "../base/mod.ts";
import type {
  KeeperToReactor,
  ReactorToKeeper,
  ResolvedConfig,
  WorkerIdentity,
  WorkerToReactor,
} from "../base/mod.ts";
import type { Ledger } from "../ledger/mod.ts";
import {
  PacketChannel,
  ProcessMeter,
  closeDescriptor,
  machineNowMs,
  readMainThread,
  readProcessStat,
  signalProcess,
} from "../os/mod.ts";
import { MemoryWatch, Supervisor, memoryPlan } from "../supervision/mod.ts";
import type {
  AdoptedWorker,
  ControlledService,
  LogFields,
  MemoryPlan,
  OperationResult,
  SupervisorPorts,
} from "../supervision/mod.ts";
import { AgentLink } from "./agent-link.ts";
import { Deaths } from "./deaths.ts";
import { Heartbeats, TICK_MS } from "./heartbeats.ts";
import { History } from "./history.ts";
import { latencyReport } from "./latencies.ts";
import { Listeners } from "./listeners.ts";
import { Live } from "./live.ts";
import { Observation } from "./observation.ts";
import { stalledPipe, workReport } from "./work-report.ts";
import { Origins } from "./origins.ts";
import { Recovery } from "./recovery.ts";
import { Reloads } from "./reloads.ts";
import { Retention } from "./retention.ts";
import { serviceStatus } from "./service-status.ts";
import { Traces } from "./traces.ts";
import { Stalls } from "./stalls.ts";
import { WorkerLink } from "./worker-link.ts";

/** What the ledger's `phase` of a worker row means. */
const PHASES = ["none", "starting", "ready", "draining", "stopping"] as const;
type Phase = (typeof PHASES)[number];

export type Hello = Extract<KeeperToReactor, { type: "hello" }>;
export type Log = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields: LogFields,
) => void;

/** See the file's docstring. */
export class Service {
  readonly ledger: Ledger;
  readonly hello: Hello;
  readonly links: Map<number, WorkerLink> = new Map();
  readonly retention: Retention;
  readonly listeners: Listeners;
  readonly supervisor: Supervisor;
  config: ResolvedConfig;
  pausedReason: string | null = null;
  readonly #keeper: PacketChannel;
  readonly #log: Log;
  readonly #traces: Traces = new Traces(this.links);
  readonly #origins: Origins = new Origins();
  readonly #recovery: Recovery;
  readonly #history: History;
  readonly #deaths: Deaths;
  readonly #stalls: Stalls;
  readonly #live: Live;
  readonly #reloads: Reloads;
  readonly #heartbeats: Heartbeats = new Heartbeats(machineNowMs());
  readonly #memoryWatch: MemoryWatch;
  /** Rows of workers that were asked for and have no process yet. */
  readonly #claimed: Map<number, { readonly identity: WorkerIdentity; readonly row: number }> =
    new Map();
  readonly #adopted: AdoptedWorker[] = [];
  readonly #inherited: Map<number, ((fd: number | null) => void)[]> = new Map();
  readonly #meter: ProcessMeter = new ProcessMeter();
  readonly #observation: Observation;
  #isOrphan = false;

  constructor(ledger: Ledger, keeper: PacketChannel, hello: Hello, log: Log) {
    this.ledger = ledger;
    this.hello = hello;
    this.config = hello.config;
    this.#keeper = keeper;
    this.#log = log;
    this.retention = new Retention(ledger, this.links);
    this.#observation = new Observation(ledger, this.retention, this.links);
    this.#recovery = new Recovery(ledger, this.retention, () => this.config.replay);
    this.#history = new History({
      ledger,
      usage: (pid) => this.#meter.of(pid),
      silenceMs: (link) => this.#observation.silenceMs(link),
    });
    this.#deaths = new Deaths({
      ledger,
      log,
      recovery: this.#recovery,
      observation: this.#observation,
      history: this.#history,
      logPath: this.#logPath,
      config: () => this.config,
    });
    this.listeners = new Listeners({
      acceptsInKernel: hello.config.accept === "kernel",
      accepted: (...connection) => this.retention.accept(...connection),
      flush: () => this.retention.flush(),
      hasRoom: () => !this.retention.isFull,
      keep: (key, id, spec, fd) => this.#tell({ type: "keep", key, id, spec }, [fd]),
      drop: (key) => this.#tell({ type: "drop", key }),
      paused: (reason) => this.#paused(reason),
    });
    this.#stalls = new Stalls({
      nowMs: machineNowMs,
      config: () => this.config,
      mainThread: readMainThread,
      executing: (link) => this.#observation.executing(link),
      evict: (link) => {
        // stopped from outside: then what it was executing is not to blame
        link.hasStalled ||= !/[Tt]/.test(readProcessStat(link.pid)?.state ?? "");
        this.supervisor.stalled(link.id);
      },
      log,
    });
    this.#live = new Live({
      links: this.links,
      limitBytes: () => this.#memoryPlan().watchBytes,
      lookout: this.#stalls.lookout,
      log,
    });
    this.#reloads = new Reloads({
      config: () => this.config,
      configure: (config) => this.#configure(config),
      tell: (message) => this.#tell(message),
      replaceAll: (onProgress, workers) => this.supervisor.reload(onProgress, workers),
      log,
    });
    this.#memoryWatch = new MemoryWatch(this.#memoryPlan().watchBytes, {
      now: () => performance.now(),
      workers: () => [...this.links.values()],
      measure: (pids, nowMs) => this.#meter.update(pids, nowMs),
      usage: (pid) => this.#meter.of(pid),
      overMemory: (id) => this.supervisor.overMemory(id),
    });
    const { readyTimeoutMs, drainTimeoutMs, restartIntensity, workers, entry } = hello.config;
    this.supervisor = new Supervisor(
      { readyTimeoutMs, drainTimeoutMs, restartIntensity, workers, entry },
      this.#ports(),
    );
  }

  get #logPath(): string {
    return join(this.config.runtimeDir, `${this.config.name}.log`);
  }

  #memoryPlan(): MemoryPlan {
    return memoryPlan(this.config.memoryLimitBytes, totalmem(), this.config.workers);
  }

  /** Everything that a former reactor left is known: go on with it, or start. */
  begin(): void {
    const lost = this.retention.adoptTable();
    if (lost > 0) {
      this.ledger.count("aborted", lost);
      this.#log("warn", "connections were lost with the former reactor", { connections: lost });
    }
    for (const link of this.links.values()) {
      this.listeners.adoptUser(link);
      link.isResyncing = true;
      link.send({ type: "resync" });
    }
    if (this.hello.reactorRestarts === 0) this.supervisor.boot();
    else this.#adopt();
    setInterval(() => this.#tick(), TICK_MS);
    this.#tell({ type: "ready" });
  }

  /** A message of the keeper's, with its descriptors. */
  onKeeper(message: KeeperToReactor, descriptors: readonly number[]): void {
    const [fd = -1, agent = -1] = descriptors;
    switch (message.type) {
      case "listener":
        if (message.spec !== null) this.listeners.adopt(message.key, message.id, message.spec, fd);
        break;
      case "worker":
        this.#adoptWorker(message, message.pid, fd, agent);
        break;
      case "spawned":
        this.#spawned(message.id, message.pid, fd, agent);
        break;
      case "spawn-failed":
        this.#unclaim(message.id);
        this.supervisor.spawnFailed(message.id, message.message);
        break;
      case "exited":
        this.#exited(message);
        break;
      case "app-message":
        if (message.message === "ready") this.#ready(message.id);
        break;
      case "signal":
        this.#signalled(message.signal);
        break;
      case "config":
        this.#reloads.answered(message);
        break;
      case "changed":
        this.#reloads.changed(message.file);
        break;
      case "inherited":
        this.#inherited.get(message.fd)?.forEach((take) => take(message.ok ? fd : null));
        this.#inherited.delete(message.fd);
        break;
      case "hello":
      case "begin":
      case "ping":
        break; // main.ts has seen to these
    }
  }

  /** The keeper has died: nobody restarts anything any more. */
  keeperLost(): void {
    this.#isOrphan = true;
    if (this.supervisor.phase === "ended") {
      this.#exit(0); // in good order: it was told to finish
      return;
    }
    this.#log("error", "the keeper has died: finishing what is in flight, then ending", {});
    this.listeners.stop();
    this.supervisor.keeperLost();
    for (const link of Array.from(this.links.values())) {
      if (link.channel.descriptor === null) this.#channelClosed(link);
    }
  }

  /** Ends this process when the last crash report is written. */
  #exit(code: number): void {
    void this.#deaths.settled().then(() => process.exit(code));
  }

  #configure(config: ResolvedConfig): void {
    this.config = config;
    this.supervisor.configure(config);
    this.#memoryWatch.configure(this.#memoryPlan().watchBytes);
  }

  /** `holdfast stop`, or a signal. */
  stop(isNow: boolean, code?: number): Promise<OperationResult> {
    this.listeners.stop();
    this.retention.flush();
    return this.supervisor.stop(isNow, code);
  }

  /** What the control socket offers. */
  controlled(): ControlledService {
    return {
      status: () => serviceStatus(this, this.#observation, this.#meter),
      reload: (updateEnv, onProgress) => this.#reloads.reload(updateEnv, onProgress),
      restart: (index, onProgress) => this.supervisor.restart(index, onProgress),
      scale: (workers, onProgress) => this.supervisor.scale(workers, onProgress),
      stop: (isNow) => this.stop(isNow),
      logPath: this.#logPath,
      latency: () => latencyReport(this, this.#observation),
      work: () => workReport(this, this.#observation),
      live: this.#live,
      traces: this.#traces,
    };
  }

  /** Ends without a word, as the last thing. */
  destroy(): void {
    this.#recovery.destroy();
  }

  #tell(message: ReactorToKeeper, descriptors: readonly number[] = []): void {
    this.#keeper.sendJson(message, descriptors);
  }

  #ports(): SupervisorPorts {
    return {
      now: () => performance.now(),
      spawn: (worker) => this.#spawn(worker),
      feed: (id) => this.#feed(id),
      drain: (id, move) => this.#drainWorker(id, move),
      recover: (id) => this.#recoverStalled(id),
      signal: (id, signal) => {
        if (signal === "SIGTERM") this.#setPhase(id, "stopping");
        this.#signal(id, signal);
      },
      gone: (death) => this.#deaths.gone(death),
      commit: ({ generation, workers, stopping }) => {
        this.ledger.commit("generation", generation);
        this.ledger.commit("workers", workers);
        this.ledger.commit("stopping", stopping ? 1 : 0);
      },
      finish: (code, reason) => {
        this.retention.closeWaiting();
        this.#tell({ type: "finish", code, reason });
        if (this.#isOrphan) this.#exit(code);
      },
      log: this.#log,
    };
  }

  #signal(id: number, signal: "SIGTERM" | "SIGKILL" | "SIGSTOP"): void {
    const link = this.links.get(id);
    // a channel that is open proves that the pid is still that worker's
    if (this.#isOrphan && link !== undefined) signalProcess(link.pid, signal);
    else this.#tell({ type: "kill", id, signal });
  }

  /** Nobody else tells of exits when the keeper has died. */
  #channelClosed(link: WorkerLink): void {
    if (!this.#isOrphan || !this.links.has(link.id)) return;
    this.#exited({
      type: "exited",
      id: link.id,
      pid: link.pid,
      code: null,
      signal: null,
      output: "",
    });
  }

  #adopt(): void {
    const stopping = this.ledger.committed("stopping") !== 0;
    this.supervisor.adopt(this.#adopted, {
      generation: this.ledger.committed("generation"),
      lastId: this.ledger.committed("lastId"),
      lastGeneration: this.ledger.committed("lastGeneration"),
    });
    if (stopping) void this.stop(false); // resolves when the process ends
  }

  #adoptWorker(identity: WorkerIdentity, pid: number, fd: number, agent: number): void {
    const row = this.ledger.workers.find(identity.id);
    if (row < 0) {
      [fd, agent].forEach(closeDescriptor);
      return;
    }
    this.#link(identity, pid, row, fd, agent);
    const phase = PHASES[this.ledger.workers.int(row, "phase")] ?? "none";
    const { id, index, generation } = identity;
    // none: the former reactor died before it heard of the process that it had asked for
    this.#adopted.push({
      id,
      index,
      generation,
      pid,
      phase: phase === "none" ? "starting" : phase,
    });
  }

  #spawn(worker: WorkerIdentity): void {
    const row = this.ledger.workers.claim(worker.id, worker.index, worker.generation);
    if (row < 0) {
      queueMicrotask(() => this.supervisor.spawnFailed(worker.id, "the ledger has no row left"));
      return;
    }
    this.ledger.commit("lastId", Math.max(worker.id, this.ledger.committed("lastId")));
    this.ledger.commit(
      "lastGeneration",
      Math.max(worker.generation, this.ledger.committed("lastGeneration")),
    );
    this.#claimed.set(worker.id, { identity: worker, row });
    this.ledger.workers.setFloat(row, "startedAtMs", machineNowMs());
    const { heapLimitBytes } = this.#memoryPlan();
    this.ledger.workers.setFloat(row, "heapLimitBytes", heapLimitBytes);
    const env = { ...this.config.env, ...this.#origins.environment(this.config) };
    this.#tell({ type: "spawn", ...worker, env, heapLimitBytes });
  }

  #spawned(id: number, pid: number, fd: number, agent: number): void {
    const claimed = this.#claimed.get(id);
    this.#claimed.delete(id);
    if (claimed === undefined) {
      [fd, agent].forEach(closeDescriptor);
      return;
    }
    this.ledger.workers.setInt(claimed.row, "pid", pid);
    this.#link(claimed.identity, pid, claimed.row, fd, agent);
    this.#setPhase(id, "starting");
    this.supervisor.spawned(id, pid);
  }

  #unclaim(id: number): void {
    const row = this.#claimed.get(id)?.row;
    if (row !== undefined) this.ledger.workers.clear(row);
    this.#claimed.delete(id);
  }

  #link(identity: WorkerIdentity, pid: number, row: number, fd: number, agentFd: number): void {
    const channel = new PacketChannel(fd);
    const agent = new AgentLink(agentFd, (fault) => this.#live.agentGone(identity.id, fault));
    const link = new WorkerLink(identity, pid, row, channel, agent, this.ledger.workers);
    this.links.set(identity.id, link);
    this.#deaths.watch(link);
    channel.onClose(() => this.#channelClosed(link));
    channel.onDrain(() => this.retention.placeWaiting());
    channel.onPacket((kind, payload, descriptors) =>
      this.#onWorker(link, kind, payload, descriptors),
    );
  }

  #onWorker(link: WorkerLink, kind: number, payload: Buffer, descriptors: number[]): void {
    if (kind === PACKET_JSON) {
      // our own preload, of the same version: the ledger's version was compared
      this.#onWorkerMessage(link, JSON.parse(payload.toString()) as WorkerToReactor);
      return;
    }
    const rows = new Uint32Array(new Uint8Array(payload).buffer, 0, payload.length >> 2);
    switch (kind) {
      case PACKET_CLOSED:
        this.retention.closed(rows);
        break;
      case PACKET_OPAQUE:
        this.retention.opaque(rows);
        break;
      case PACKET_RELEASED:
        this.ledger.count("moved", this.retention.released(rows));
        break;
      case PACKET_RETAIN:
        this.#retain(link, rows, descriptors);
        break;
      case PACKET_TRACE:
        this.#traces.receive(link, payload);
        break;
      default:
        descriptors.forEach(closeDescriptor);
    }
  }

  #onWorkerMessage(link: WorkerLink, message: WorkerToReactor): void {
    switch (message.type) {
      case "listen":
        this.#listen(link, message);
        break;
      case "unlisten":
        this.listeners.unlisten(link, message.listener);
        break;
      case "ready":
        this.#ready(link.id);
        break;
      case "drained":
        this.supervisor.drained(link.id);
        break;
      case "want-slots":
        link.slotsWanted = message.count;
        this.retention.grant(link);
        break;
      case "resynced":
        link.isResyncing = false;
        break;
      case "async-failure":
        this.#origins.note(message.failure, link, this.links.values());
        break;
      case "pipe-stalled":
        this.#log("warn", ...stalledPipe(message.stall, link));
        break;
      case "attached":
        break;
    }
  }

  #listen(link: WorkerLink, message: Extract<WorkerToReactor, { type: "listen" }>): void {
    const wanted = message.spec.fd;
    if (wanted < 0) {
      this.listeners.listen(link, message, null);
      return;
    }
    const takers = this.#inherited.get(wanted) ?? [];
    takers.push((fd) => this.listeners.listen(link, message, fd ?? -9)); // EBADF
    this.#inherited.set(wanted, takers);
    if (takers.length === 1) this.#tell({ type: "inherited", fd: wanted });
  }

  #ready(id: number): void {
    const link = this.links.get(id);
    if (link === undefined) return;
    this.#setPhase(id, "ready");
    this.supervisor.ready(id);
    this.#traces.ready(link);
  }

  #feed(id: number): void {
    const link = this.links.get(id);
    if (link === undefined) return;
    link.isFed = true;
    this.retention.placeWaiting();
  }

  #drainWorker(id: number, move: boolean): void {
    const link = this.links.get(id);
    if (link === undefined) return;
    link.isFed = false;
    this.#setPhase(id, "draining");
    this.retention.flush();
    link.send({ type: "drain", move });
  }

  /** The supervisor has had it frozen: its connections go on elsewhere while it is killed. */
  #recoverStalled(id: number): void {
    const link = this.links.get(id);
    if (link === undefined) return;
    link.isFed = false;
    const isThere = (): boolean => this.links.has(id);
    this.#deaths.freeze(link, isThere, () => this.supervisor.recovered(id));
  }

  #exited(message: Extract<KeeperToReactor, { type: "exited" }>): void {
    this.#unclaim(message.id);
    const link = this.links.get(message.id);
    if (link !== undefined) {
      link.isFed = false;
      this.links.delete(message.id);
      this.#traces.gone(link);
      this.#deaths.recover(link);
      link.channel.close();
      link.agent.close();
      this.#stalls.forget(link.id);
      this.listeners.forget(link.id);
      this.#heartbeats.forget(link.id);
      this.#deaths.takeOver(link);
    }
    const { code, signal } = message;
    this.supervisor.exited(message.id, { code, signal }, message.output);
  }

  #signalled(signal: string): void {
    if (signal === "SIGHUP") return this.#reloads.signalled();
    if (signal === "SIGUSR2") return this.#live.debugSignalled(this.config);
    void this.stop(false); // resolves when the process ends
  }

  #paused(reason: string | null): void {
    if (reason !== null && this.pausedReason === null) {
      this.#log("warn", `accepting pauses: ${reason}; connections wait in the kernel`, {
        connections: this.retention.count,
      });
    }
    this.pausedReason = reason;
  }

  #setPhase(id: number, phase: Phase): void {
    const link = this.links.get(id);
    if (link !== undefined) this.ledger.workers.setInt(link.row, "phase", PHASES.indexOf(phase));
  }

  #retain(link: WorkerLink, rows: Uint32Array, descriptors: readonly number[]): void {
    const count = this.retention.retained(link, rows, descriptors);
    if (link.isResyncing) return; // counted when they came
    link.owned += count;
    this.ledger.count("accepted", count);
  }

  #tick(): void {
    const findings = this.#heartbeats.tick(machineNowMs(), this.links.values());
    for (const link of findings.moving) this.#stalls.moving(link);
    for (const { link, silentMs } of findings.silent) this.#stalls.silent(link, silentMs);
    for (const link of findings.sluggish) {
      if (link.waiting > 0) this.retention.takeBack(link);
    }
    this.retention.sweep();
    for (const link of this.links.values()) this.retention.grant(link);
    this.#recovery.tick();
    this.supervisor.tick();
    this.#memoryWatch.tick();
    this.#history.tick(this.links.values(), machineNowMs());
    const isSettled = this.supervisor.state === "running";
    if (isSettled) this.listeners.closeUnused();
  }
}
