/**
 * The keeper: it holds what must outlive the others, starts them, and hears how they end. It knows
 * no protocol and runs no user code; what is to be done with workers and connections the reactor
 * decides.
 *
 * ```
 *   starting --reactor ready--> running --finish--> ending --all written--> ended (exit code)
 *      |                          |  ^                ^
 *      |     reactor died --------+  +-- next reactor |
 *      +--- reactors die too often -------------------+
 * ```
 * | event | what the keeper does |
 * | --- | --- |
 * | reactor hangs | kills it after 10 s without an answer |
 * | reactor dies | starts the next one and gives it listeners, workers, control socket |
 * | worker dies | tells the reactor, with its last output |
 * | SIGTERM, SIGINT, SIGHUP | tells the reactor |
 * | a second SIGTERM or SIGINT | kills everything at once, whatever the reactor does |
 * | SIGUSR2 | tells the reactor, which lets debuggers in |
 * | our stdout has no reader | goes on without it |
 */
import { constants } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";
import {
  EXIT_CODES,
  Logger,
  RestartIntensity,
  controlSocketPath,
  monotonicNowMs,
  parseLogEntry,
  renderHuman,
} from "../base/mod.ts";
import type {
  Environment,
  ExitInfo,
  LogEntry,
  LogFields,
  LogLevel,
  ReactorToKeeper,
  ResolvedConfig,
} from "../base/mod.ts";
import { Ledger } from "../ledger/mod.ts";
import { closeDescriptor } from "../os/mod.ts";
import { AdminProcess, LogFile, Versions, Watcher, standardSinks } from "../supervision/mod.ts";
import type { StandardSinks } from "../supervision/mod.ts";
import { Listeners } from "./listeners.ts";
import { ReactorProcess } from "./reactor-process.ts";
import { Reaper } from "./reaper.ts";
import type { RunFiles } from "./run-directory.ts";
import { WorkerProcess } from "./worker-process.ts";
import type { WorkerEvents, WorkerOrder } from "./worker-process.ts";

/** Reactors run no user code: more deaths than this are a fault that restarting does not mend. */
const REACTOR_RESTARTS = { restarts: 10, periodMs: 60_000 } as const;
/** A reactor that was never ready cannot run here at all. */
const FIRST_REACTOR_RESTARTS = { restarts: 2, periodMs: 60_000 } as const;
/** A reactor has done with the news of an exit, and so the next one need not hear it again. */
const EXIT_KEPT_MS = 2000;
/** The reactor ends by itself when its channel is closed. */
const REACTOR_END_MS = 1000;
/** Messages of the application's that are passed on; a packet holds 96 KiB. */
const APP_MESSAGE_CHARACTERS_MAX: number = 16 * 1024;

const FORWARDED = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const;
type Forwarded = (typeof FORWARDED)[number];

/** Reads the configuration again, in an environment that may be another one now. */
export type Reread = (environment: Environment) => Promise<ResolvedConfig>;

type Exited = { readonly type: "exited"; readonly id: number; readonly pid: number } & ExitInfo & {
    readonly output: string;
  };

export class Keeper {
  readonly #config: ResolvedConfig;
  readonly #reread: Reread;
  readonly #ledgerDescriptor: number;
  readonly #ledger: Ledger;
  readonly #versions: Versions;
  readonly #startedAt = new Date().toISOString();
  readonly #workers = new Map<number, WorkerProcess>();
  readonly #exits = new Map<number, Exited>();
  readonly #listeners: Listeners;
  readonly #reaper = new Reaper();
  readonly #watcher: Watcher;
  readonly #sinks: StandardSinks = standardSinks();
  readonly #logger: Logger;
  readonly #logFile: LogFile;
  readonly #end = Promise.withResolvers<number>();
  #intensity = new RestartIntensity(FIRST_REACTOR_RESTARTS);
  #reactor: ReactorProcess | null = null;
  #admin: AdminProcess | null = null;
  #reactorStartedMs = 0;
  #reactorRestarts = 0;
  #environment: Environment = process.env;
  #stopSignal: Forwarded | null = null;
  #code: number | null = null;

  constructor(config: ResolvedConfig, reread: Reread, files: RunFiles, ledgerDescriptor: number) {
    this.#config = config;
    this.#reread = reread;
    this.#ledgerDescriptor = ledgerDescriptor;
    this.#ledger = Ledger.attach(ledgerDescriptor);
    this.#versions = new Versions({ config, environment: process.env });
    this.#listeners = new Listeners(files.controlDescriptor);
    this.#logger = new Logger({ source: "keeper", output: this.#sinks.log, json: config.json });
    this.#logFile = new LogFile(files.logPath, (message) => this.#logger.warn(message));
    const trouble = (message: string): void => this.#log("warn", message);
    this.#watcher = new Watcher((file) => this.#reactor?.send({ type: "changed", file }), trouble);
  }

  /** Runs the service to its end. Resolves with the exit code when everything is written. */
  async run(): Promise<number> {
    const onSignal = (signal: Forwarded): void => this.#signalled(signal);
    const onDebug = (): void => {
      this.#reactor?.send({ type: "signal", signal: "SIGUSR2" });
    };
    for (const signal of FORWARDED) process.on(signal, onSignal);
    process.on("SIGUSR2", onDebug);
    this.#reaper.start();
    this.#startReactor();
    this.#startAdmin();
    for (const path of this.#config.watch) this.#watcher.add(path);
    const code = await this.#end.promise;
    for (const signal of FORWARDED) process.off(signal, onSignal);
    process.off("SIGUSR2", onDebug);
    return code;
  }

  #startAdmin(): void {
    const { admin: address, otlp, name, runtimeDir } = this.#config;
    if (address === null && otlp === null) return;
    const socketPath = controlSocketPath(runtimeDir, name);
    const tokenPath = join(runtimeDir, `${name}.admin-token`);
    this.#admin = new AdminProcess({ address, otlp, name, socketPath, tokenPath }, (entry) => {
      this.#say(entry);
    });
  }

  // The reactor.

  #startReactor(): void {
    this.#reactorStartedMs = monotonicNowMs();
    const reactor = new ReactorProcess(this.#ledgerDescriptor, {
      message: (message, descriptors) => this.#onReactor(message, descriptors),
      exited: (how) => this.#reactorExited(how),
      line: (line) => this.#reactorLine(line),
    });
    this.#reactor = reactor;
    reactor.send({
      type: "hello",
      config: this.#configNow(),
      reactorRestarts: this.#reactorRestarts,
      startedAt: this.#startedAt,
      keeperPid: process.pid,
    });
    this.#listeners.giveTo(reactor);
    for (const { identity, pid, descriptors } of this.#workers.values()) {
      const isThere = pid > 0 && descriptors.length > 0;
      if (isThere) reactor.send({ type: "worker", ...identity, pid }, descriptors);
    }
    reactor.send({ type: "begin" });
    for (const exited of this.#exits.values()) this.#tellExit(exited);
    if (this.#stopSignal !== null) reactor.send({ type: "signal", signal: this.#stopSignal });
  }

  /** As the reactor has committed it: the generation that serves, and how many workers. */
  #configNow(): ResolvedConfig {
    return this.#asScaled(this.#versions.serves(this.#ledger.committed("generation")).config);
  }

  /**
   * What `holdfast scale` has set holds until the configuration says another number than before.
   */
  #asScaled(read: ResolvedConfig): ResolvedConfig {
    const { config } = this.#versions.serves(this.#ledger.committed("generation"));
    const workers = this.#ledger.committed("workers");
    return workers > 0 && read.workers === config.workers ? { ...read, workers } : read;
  }

  #reactorExited(how: string): void {
    this.#reactor = null;
    if (this.#code !== null) return;
    const livedMs = monotonicNowMs() - this.#reactorStartedMs;
    const waitMs = this.#intensity.crashed(monotonicNowMs(), livedMs);
    if (waitMs === null) {
      this.#log("error", `the reactor ended (${how}) too often; everything ends`);
      this.#finish(EXIT_CODES.gaveUp);
      return;
    }
    this.#reactorRestarts += 1;
    this.#log("error", `the reactor ended (${how}); workers go on, the next one starts`);
    setTimeout(() => {
      if (this.#code === null) this.#startReactor();
    }, waitMs);
  }

  #onReactor(message: ReactorToKeeper, descriptors: number[]): void {
    const [fd = -1] = descriptors;
    switch (message.type) {
      case "pong":
        return this.#reactor?.answered();
      case "ready":
        this.#reactor?.watch();
        if (this.#reactorRestarts === 0) this.#intensity = new RestartIntensity(REACTOR_RESTARTS);
        return;
      case "spawn":
        return this.#spawn(message);
      case "kill":
        return this.#workers.get(message.id)?.signal(signalOf(message.signal));
      case "keep":
        return this.#listeners.keep(message.key, message.id, message.spec, fd);
      case "drop":
        return this.#listeners.drop(message.key);
      case "reread":
        return void this.#readAgain(message.updateEnv);
      case "inherited":
        return this.#giveInherited(message.fd);
      case "finish":
        return this.#finish(message.code);
    }
  }

  #giveInherited(fd: number): void {
    const copy = this.#listeners.inherited(fd);
    const answer = { type: "inherited", fd, ok: copy !== null } as const;
    this.#reactor?.send(answer, copy === null ? [] : [copy]);
    if (copy !== null) closeDescriptor(copy);
  }

  async #readAgain(updateEnv: Readonly<Record<string, string>> | null): Promise<void> {
    const environment = updateEnv ?? this.#environment;
    try {
      const read = await this.#reread(environment);
      const config = this.#asScaled(read);
      this.#environment = environment;
      this.#versions.reread({ config: read, environment });
      this.#reactor?.send({ type: "config", config, error: null });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#reactor?.send({ type: "config", config: null, error: message });
    }
  }

  // The workers.

  #spawn(order: WorkerOrder): void {
    const { id, index } = order;
    const version = this.#versions.of(order.generation);
    try {
      const events = this.#workerEvents();
      const worker = new WorkerProcess(order, version, this.#ledgerDescriptor, this.#sinks, events);
      this.#workers.set(id, worker);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#log("error", `cannot start worker ${index}: ${message}`);
      this.#reactor?.send({ type: "spawn-failed", id, message });
    }
  }

  #workerEvents(): WorkerEvents {
    return {
      spawned: ({ identity, pid, descriptors }) => {
        this.#reactor?.send({ type: "spawned", id: identity.id, pid }, descriptors);
      },
      spawnFailed: (worker, message) => {
        this.#forget(worker);
        this.#reactor?.send({ type: "spawn-failed", id: worker.identity.id, message });
      },
      exited: ({ identity, pid }, exit, output) => {
        const exited: Exited = { type: "exited", id: identity.id, pid, ...exit, output };
        this.#exits.set(identity.id, exited);
        this.#tellExit(exited);
      },
      message: ({ identity }, message) => this.#passOn(identity.id, message),
      line: ({ identity, pid }, stream, line) => {
        const time = new Date().toISOString();
        this.#logFile.append({ time, source: "worker", pid, worker: identity.index, stream, line });
      },
    };
  }

  /** Told to the reactor, and to the next one should this one die before it has acted on it. */
  #tellExit(exited: Exited): void {
    const reactor = this.#reactor;
    if (reactor === null) return;
    reactor.send(exited);
    setTimeout(() => {
      const worker = this.#workers.get(exited.id);
      if (this.#reactor === reactor && worker !== undefined) this.#forget(worker);
    }, EXIT_KEPT_MS).unref();
  }

  #forget(worker: WorkerProcess): void {
    worker.release();
    this.#workers.delete(worker.identity.id);
    this.#exits.delete(worker.identity.id);
  }

  #passOn(id: number, message: unknown): void {
    const text = JSON.stringify(message) ?? "";
    if (text === "" || text.length > APP_MESSAGE_CHARACTERS_MAX) return;
    this.#reactor?.send({ type: "app-message", id, message });
  }

  // Signals and the end.

  #signalled(signal: Forwarded): void {
    // A terminal that was closed is the end of what ran in it; a daemon's SIGHUP is a reload.
    const meant = signal === "SIGHUP" && isatty(0) ? "SIGTERM" : signal;
    if (meant === "SIGHUP") {
      this.#reactor?.send({ type: "signal", signal: meant });
      return;
    }
    if (this.#stopSignal !== null) {
      this.#log("warn", `a second signal (${signal}): everything ends now`);
      this.#finish(128 + constants.signals[signal], true);
      return;
    }
    this.#stopSignal = meant;
    this.#reactor?.send({ type: "signal", signal: meant });
  }

  #finish(code: number, isNow = false): void {
    const isFirst = this.#code === null;
    this.#code = code;
    for (const worker of this.#workers.values()) worker.signal("SIGKILL");
    if (isNow) this.#reactor?.kill();
    if (isNow) this.#end.resolve(code);
    else if (isFirst) void this.#endInOrder();
  }

  /** Everything that was written is passed on before the end. */
  async #endInOrder(): Promise<void> {
    this.#watcher.close();
    const reactor = this.#reactor;
    reactor?.close();
    const late = setTimeout(() => reactor?.kill(), REACTOR_END_MS);
    const workers = [...this.#workers.values()].map((worker) => worker.flush());
    await Promise.all([reactor?.ended, this.#admin?.close(), ...workers]);
    clearTimeout(late);
    await Promise.all([this.#sinks.stdout.flush(), this.#sinks.stderr.flush()]);
    await this.#logFile.close();
    this.#reaper.stop();
    this.#end.resolve(this.#code ?? EXIT_CODES.gaveUp);
  }

  // What is said.

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    this.#say({ time: new Date().toISOString(), level, source: "keeper", message, fields });
  }

  #reactorLine(line: string): void {
    const entry = parseLogEntry(line);
    if (entry !== null) this.#say(entry);
    else if (line.trim() !== "") this.#log("error", `reactor: ${line}`);
  }

  #say(entry: LogEntry): void {
    if (entry.level !== "debug") this.#logger.write(entry);
    const { time, source, level, fields } = entry;
    const line = renderHuman(entry);
    this.#logFile.append({ ...fields, time, source, level, stream: "log", line });
  }
}

/** A signal by name, as the reactor asks for it. */
function signalOf(name: string): NodeJS.Signals {
  switch (name) {
    case "SIGTERM":
    case "SIGSTOP":
    case "SIGCONT":
      return name;
    default:
      return "SIGKILL";
  }
}
