/**
 * What a program under comparison must offer: start an entry file with a number of workers on a
 * port, reload it, say which process takes the connections, and end without leaving anything.
 */
import {
  MARK_VARIABLE,
  Started,
  delay,
  familyOf,
  isAlive,
  kill,
  markedProcesses,
} from "../support/mod.ts";
import type { StartOptions } from "../support/mod.ts";

export interface LaunchOptions {
  /** An own, empty folder for configuration, sockets and logs. */
  readonly folder: string;
  /** Absolute path of the entry file; it listens on `PORT` of 127.0.0.1. */
  readonly entry: string;
  /** Environment of the entry file. */
  readonly env: Readonly<Record<string, string>>;
  /** The node program that runs it. */
  readonly node: string;
  /** Where clients connect. */
  readonly port: number;
  readonly workers: number;
  /** Heap limit of each worker in MiB; 0: the contender's default. */
  readonly heapMegabytes: number;
  /** More flags for `holdfast run`. */
  readonly holdfastFlags: readonly string[];
}

/** How a reload ended, by the contender's own word. */
export interface ReloadResult {
  readonly ok: boolean;
  readonly output: string;
}

export interface Contender {
  readonly name: string;
  /** Why it cannot be started here and how to install it; `undefined` when it can. */
  missing(): string | undefined;
  /** Starts it; the caller waits until the port answers. */
  launch(options: LaunchOptions): Promise<Service>;
}

/** How long a contender gets to end by itself before it is killed. */
const STOP_MS = 3000;

/** A contender that runs. */
export abstract class Service {
  readonly options: LaunchOptions;
  readonly #mark: string;
  readonly #started: Started[] = [];

  constructor(options: LaunchOptions) {
    this.options = options;
    this.#mark = `${process.pid}.${options.port}`;
  }

  /**
   * Pids of all its processes, now: what we started and still runs, what carries its mark (nginx
   * writes its title over that), and their descendants.
   */
  processes(): number[] {
    const started = this.#started.filter((each) => !each.isOver).map((each) => each.pid);
    return familyOf([...started, ...markedProcesses(this.#mark)]);
  }

  /** True when it has given up, so that waiting for it is of no use. */
  get hasEnded(): boolean {
    return false;
  }

  /** The process that takes connections from clients and is not the application; -1: none. */
  abstract acceptor(): Promise<number>;

  /** Replaces the running version by what the entry file is now. */
  abstract reload(): Promise<ReloadResult>;

  /** What it has said, for a message when something fails. */
  abstract output(): string;

  /** Asks it to end. */
  protected abstract requestStop(): void | Promise<void>;

  /** Ends it, and kills what is left of it then. */
  async stop(): Promise<void> {
    await this.requestStop();
    const endsAt = performance.now() + STOP_MS;
    while (this.#living().length > 0 && performance.now() < endsAt) await delay(20);
    // Twice, in case that one starts another meanwhile.
    for (let left = this.#living(); left.length > 0; left = this.#living()) {
      for (const pid of left) kill(pid, "SIGKILL");
      await delay(50);
    }
  }

  /** Starts a program of this contender's. */
  protected start(program: string, args: readonly string[], options: StartOptions = {}): Started {
    const env = this.environment(options.env);
    const started = new Started(program, args, { ...options, env });
    this.#started.push(started);
    return started;
  }

  /** The entry's environment and the mark, for a program of this contender's. */
  protected environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { PORT: String(this.options.port), ...this.options.env, ...extra, ...this.#marked() };
  }

  /** Flags of Node's for a worker. */
  protected get nodeFlags(): string[] {
    const { heapMegabytes } = this.options;
    return heapMegabytes > 0 ? [`--max-old-space-size=${heapMegabytes}`] : [];
  }

  #marked(): Record<string, string> {
    return { [MARK_VARIABLE]: this.#mark };
  }

  #living(): number[] {
    return this.processes().filter(isAlive);
  }
}
