/**
 * Reloads: the keeper reads the configuration again, then every worker is replaced. One at a time;
 * one that fails leaves the configuration that it found.
 */
import type { KeeperToReactor, ReactorToKeeper, ResolvedConfig } from "../base/mod.ts";
import type { LogFields, OperationResult, ProgressListener } from "../supervision/mod.ts";

/** A file that changes while a reload is under way is looked at again after this. */
const CHANGED_RETRY_MS = 500;

type Reread = Extract<KeeperToReactor, { type: "config" }>;

export interface ReloadPorts {
  config(): ResolvedConfig;
  configure(config: ResolvedConfig): void;
  tell(message: ReactorToKeeper): void;
  replaceAll(onProgress: ProgressListener, workers: number): Promise<OperationResult>;
  log(level: "info" | "warn" | "error", message: string, fields: LogFields): void;
}

/** See the file's docstring. */
export class Reloads {
  readonly #ports: ReloadPorts;
  #answered: ((answer: Reread) => void) | null = null;

  constructor(ports: ReloadPorts) {
    this.#ports = ports;
  }

  /** `holdfast reload`. */
  async reload(
    updateEnv: Readonly<Record<string, string>> | null,
    onProgress: ProgressListener,
  ): Promise<OperationResult> {
    if (this.#answered !== null) {
      return { ok: false, message: "another reload reads the configuration", refused: "busy" };
    }
    const { promise, resolve } = Promise.withResolvers<Reread>();
    this.#answered = resolve;
    this.#ports.tell({ type: "reread", updateEnv });
    const { config, error } = await promise;
    this.#answered = null;
    if (config === null)
      return { ok: false, message: `the configuration is wrong: ${error ?? ""}` };
    const former = this.#ports.config();
    this.#ports.configure(config);
    const result = await this.#ports.replaceAll(onProgress, config.workers);
    if (!result.ok) this.#ports.configure(former);
    return result;
  }

  /** The keeper has read the configuration. */
  answered(answer: Reread): void {
    this.#answered?.(answer);
  }

  /** SIGHUP. */
  signalled(): void {
    void this.reload(null, () => undefined).then((result) => {
      this.#ports.log(result.ok ? "info" : "error", `reload: ${result.message}`, {});
    });
  }

  /** A watched file has changed. */
  changed(file: string): void {
    this.#ports.log("info", "a watched file has changed: reloading", { file });
    void this.reload(null, () => undefined).then((result) => {
      if (result.refused === "busy") {
        // what is being started may be the version before this change
        setTimeout(() => this.changed(file), CHANGED_RETRY_MS);
      } else if (!result.ok) {
        this.#ports.log("warn", `reload: ${result.message}`, { file });
      }
    });
  }
}
