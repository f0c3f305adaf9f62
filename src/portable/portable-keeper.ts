/**
 * The process that `holdfast run` becomes in portable mode: a primary of node:cluster, which is
 * keeper and reactor in one. What is decided about workers is in portable-service.ts; here are the
 * things of the process: signals, output, control socket, and its end.
 *
 * ```
 *   starting --> running --finish--> ending --all written--> ended (exit code)
 *                   |                  ^
 *                   +--second signal---+--> at once
 * ```
 */
import { constants } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";
import { setTimeout as delay } from "node:timers/promises";
import { Logger, VERSION, monotonicNowMs, renderHuman } from "../base/mod.ts";
import type { Environment, LogEntry, LogFields, LogLevel, ResolvedConfig } from "../base/mod.ts";
import {
  AdminProcess,
  ControlServer,
  CrashReporter,
  LogFile,
  Watcher,
  controlRoutes,
  crashDirectory,
  standardSinks,
} from "../supervision/mod.ts";
import type { SupervisorPorts } from "../supervision/mod.ts";
import type { PortableAgents } from "./agents.ts";
import { clusterWorkers } from "./cluster-worker.ts";
import { PortableService } from "./portable-service.ts";
import type { RunFiles } from "./run-files.ts";
import { TICK_MS } from "./silence.ts";
import { withoutEffect } from "./without-effect.ts";

/** Those who follow the log do not hold up the end; whoever asked for it gets the answer. */
const CONTROL_END_MS = 500;

/** SIGHUP comes on Windows when the console is closed, SIGBREAK from Ctrl-Break. */
const SIGNALS =
  process.platform === "win32"
    ? (["SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK"] as const)
    : (["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const);
type Signal = (typeof SIGNALS)[number];

/** Reads the configuration again, in an environment that may be another one now. */
export type Reread = (environment: Environment) => Promise<ResolvedConfig>;

/** See the file's docstring. */
export class PortableKeeper {
  readonly #config: ResolvedConfig;
  readonly #files: RunFiles;
  readonly #service: PortableService;
  readonly #agents: PortableAgents;
  readonly #control: ControlServer;
  readonly #crashes: CrashReporter;
  readonly #watcher: Watcher;
  readonly #sinks = standardSinks();
  readonly #logger: Logger;
  readonly #logFile: LogFile;
  readonly #end = Promise.withResolvers<number>();
  #admin: AdminProcess | null = null;
  #hasBooted = false;
  #isStopping = false;
  #isEnding = false;

  constructor(
    config: ResolvedConfig,
    reread: Reread,
    files: RunFiles,
    linkAgents: (log: SupervisorPorts["log"]) => PortableAgents,
  ) {
    this.#config = config;
    this.#files = files;
    this.#logger = new Logger({ source: "keeper", output: this.#sinks.log, json: config.json });
    this.#logFile = new LogFile(files.logPath, (message) => this.#logger.warn(message));
    this.#agents = linkAgents((level, message, fields) => this.#log(level, message, fields));
    this.#service = new PortableService(config, process.env, {
      now: monotonicNowMs,
      start: clusterWorkers(this.#sinks),
      agents: this.#agents,
      reread,
      log: (level, message, fields) => this.#log(level, message, fields),
      line: ({ index: worker }, pid, stream, line) => {
        const time = new Date().toISOString();
        this.#logFile.append({ time, source: "worker", pid, worker, stream, line });
      },
      gone: (death, evidence) => this.#crashes.gone(death, evidence),
      finish: (code) => this.#finish(code),
    });
    this.#crashes = new CrashReporter({
      directory: crashDirectory(config.runtimeDir, config.name),
      logPath: files.logPath,
      service: () => ({
        name: config.name,
        version: VERSION,
        mode: "portable",
        entry: config.entry,
        node: process.versions.node,
      }),
      log: (level, message, fields) => this.#log(level, message, fields),
    });
    this.#control = new ControlServer(controlRoutes(this.#service.controlled()), (error) => {
      this.#log("error", "the control socket failed", { error: String(error) });
    });
    const trouble = (message: string): void => this.#log("warn", message);
    this.#watcher = new Watcher((file) => this.#changed(file), trouble);
  }

  /** Runs the service to its end. Resolves with the exit code when everything is written. */
  async run(): Promise<number> {
    const idle = withoutEffect(this.#config);
    if (idle.length > 0) {
      this.#log("warn", `without effect in portable mode: ${idle.join(", ")} (docs/portable.md)`);
    }
    const onSignal = (signal: Signal): void => this.#signalled(signal);
    for (const signal of SIGNALS) process.on(signal, onSignal);
    const onDebug = (): void => this.#agents.debugSignalled();
    if (process.platform !== "win32") process.on("SIGUSR2", onDebug);
    await this.#listen();
    const ticks = setInterval(() => this.#service.tick(), TICK_MS);
    if (this.#isStopping) this.#finish(0);
    else this.#boot();
    for (const path of this.#config.watch) this.#watcher.add(path);
    this.#startAdmin();
    const code = await this.#end.promise;
    await this.#admin?.close();
    clearInterval(ticks);
    this.#watcher.close();
    this.#control.destroy();
    for (const signal of SIGNALS) process.off(signal, onSignal);
    process.off("SIGUSR2", onDebug);
    return code;
  }

  /** The socket is only for this user from the start: it is made before `listen` returns. */
  async #listen(): Promise<void> {
    const mask = process.umask(0o177);
    const listening = this.#control.listen({ path: this.#files.socketPath });
    process.umask(mask);
    await listening;
  }

  #startAdmin(): void {
    const { admin: address, otlp, name, runtimeDir } = this.#config;
    if (address === null && otlp === null) return;
    const { socketPath } = this.#files;
    const tokenPath = join(runtimeDir, `${name}.admin-token`);
    this.#admin = new AdminProcess({ address, otlp, name, socketPath, tokenPath }, (entry) => {
      this.#log(entry.level, entry.message, entry.fields);
    });
  }

  #boot(): void {
    this.#hasBooted = true;
    this.#service.boot();
  }

  #signalled(signal: Signal): void {
    // A terminal that was closed is the end of what ran in it; a daemon's SIGHUP is a reload.
    const isReload = signal === "SIGHUP" && process.platform !== "win32" && !isatty(0);
    if (isReload) {
      void this.#reload({});
      return;
    }
    if (this.#isStopping) {
      this.#log("warn", `a second signal (${signal}): everything ends now`);
      this.#service.kill();
      this.#end.resolve(128 + constants.signals[signal]);
      return;
    }
    this.#isStopping = true;
    if (this.#hasBooted) void this.#service.stop(false); // resolves when the run ends
  }

  #changed(file: string): void {
    this.#log("info", "a watched file has changed: reloading", { file });
    void this.#reload({ file });
  }

  async #reload(fields: LogFields): Promise<void> {
    const { ok, message } = await this.#service.reload(null, () => undefined);
    this.#log(ok ? "info" : "error", `reload: ${message}`, fields);
  }

  #finish(code: number): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#service.kill();
    void this.#endInOrder(code);
  }

  /** Everything that was written is passed on before the end. */
  async #endInOrder(code: number): Promise<void> {
    const late = new AbortController();
    const waited = delay(CONTROL_END_MS, undefined, { signal: late.signal }).catch(() => undefined);
    await Promise.race([this.#control.close(), waited]);
    late.abort();
    await Promise.all([this.#service.flush(), this.#crashes.settled()]);
    await Promise.all([this.#sinks.stdout.flush(), this.#sinks.stderr.flush()]);
    await this.#logFile.close();
    this.#end.resolve(code);
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    const entry: LogEntry = {
      time: new Date().toISOString(),
      level,
      source: "keeper",
      message,
      fields,
    };
    if (level !== "debug") this.#logger.write(entry);
    const { time, source } = entry;
    this.#logFile.append({
      ...fields,
      time,
      source,
      level,
      stream: "log",
      line: renderHuman(entry),
    });
  }
}
