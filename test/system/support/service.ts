/**
 * A service under test: `holdfast run` of an application in a runtime directory of its own.
 *
 * startService -> waits until every worker is ready -> test -> stop() or the clean-up after the
 * test. Either way the end asserts that nothing is left: no process that carries the test's mark,
 * no control socket. What is left in spite of that is killed by pid, and the test fails.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after } from "node:test";
import { CLI, nodeBinary } from "./paths.ts";
import type { NodeVersion } from "./paths.ts";
import {
  MARK_VARIABLE,
  describeProcess,
  isAlive,
  kill,
  markedPids,
  startTicks,
} from "./processes.ts";
import { cleanEnvironment, run } from "./run.ts";
import type { RunResult } from "./run.ts";
import { readStatus } from "./status.ts";
import type { Status } from "./status.ts";
import { DEADLINE_MS, waitFor, within } from "./wait.ts";

export interface ServiceOptions {
  /** Absolute path of the application. */
  readonly entry: string;
  readonly args?: readonly string[];
  /** Flags of `holdfast run` beside `--workers` and `--name`. */
  readonly flags?: readonly string[];
  readonly workers?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Which Node runs Holdfast and the application. */
  readonly node?: NodeVersion;
  readonly cwd?: string;
  /** Do not wait until the workers are ready: the test wants to see what comes first. */
  readonly early?: boolean;
  /** Run in this runtime directory, which the test owns, under this name. */
  readonly runtimeDir?: string;
  readonly name?: string;
  /** Soft and hard limit of open files of every process of the service. */
  readonly descriptorLimit?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Where clients connect to. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

/** What owns a service and outlives it: a test context, or the hooks of a suite. */
export interface Owner {
  after(hook: () => Promise<void>): void;
}

/**
 * The suite being declared, as the owner of services that its `before` hook starts. (A call of
 * `after` inside a hook would end with that hook.)
 */
export function suiteOwner(): Owner {
  const hooks: (() => Promise<void>)[] = [];
  after(async () => {
    const results = await Promise.allSettled(hooks.map((hook) => hook()));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  });
  return { after: (hook) => void hooks.push(hook) };
}

let started = 0;

/** Starts a service and waits until it is ready; it ends, checked, when its owner does. */
export async function startService(owner: Owner, options: ServiceOptions): Promise<Service> {
  const service = new Service(options);
  owner.after(() => service.cleanUp());
  if (options.early !== true) await service.ready();
  return service;
}

export class Service {
  readonly name: string;
  readonly runtimeDir: string;
  /** Settles when the keeper has ended and its output is complete. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #mark: string;
  readonly #workers: number;
  readonly #ownsRuntimeDir: boolean;
  readonly #node: string;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  /** Every pid that the service is known to have had, with the start of that process. */
  readonly #pids = new Map<number, number | undefined>();
  #exit: Exit | undefined;

  constructor(options: ServiceOptions) {
    started += 1;
    this.name = options.name ?? `t${process.pid}-${started}`;
    this.#mark = `${process.pid}.${started}`;
    this.#ownsRuntimeDir = options.runtimeDir === undefined;
    this.runtimeDir = options.runtimeDir ?? makeRuntimeDir();
    this.#workers = options.workers ?? 2;
    this.#node = nodeBinary(options.node);
    const flags = ["--name", this.name, "--workers", String(this.#workers)];
    const rest = options.args === undefined ? [] : ["--", ...options.args];
    const args = ["--", CLI, "run", ...flags, ...(options.flags ?? []), options.entry, ...rest];
    const limit = options.descriptorLimit;
    const [program, ...before] =
      limit === undefined ? [this.#node] : ["prlimit", `--nofile=${limit}:${limit}`, this.#node];
    this.#child = spawn(program ?? this.#node, [...before, ...args], {
      cwd: options.cwd,
      env: this.#environment(options.env),
      stdio: ["ignore", "pipe", "pipe"],
    });
    if (this.#child.pid !== undefined) this.#record(this.#child.pid);
    this.#child.stdout?.on("data", (chunk: Buffer) => this.#stdout.push(chunk));
    this.#child.stderr?.on("data", (chunk: Buffer) => this.#stderr.push(chunk));
    this.exited = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (code, signal) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
      });
    });
  }

  /** Pid of the keeper. */
  get pid(): number {
    if (this.#child.pid === undefined) throw new Error("holdfast run did not start");
    return this.#child.pid;
  }

  get socketPath(): string {
    return path.join(this.runtimeDir, `${this.name}.sock`);
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** Everything written so far, for the message of a failed test. */
  describe(): string {
    const exit = this.#exit === undefined ? "running" : JSON.stringify(this.#exit);
    return `service ${this.name}: ${exit}\nstdout:\n${this.stdout}\nstderr:\n${this.stderr}`;
  }

  /** Asks the control socket, and remembers every pid in the answer. */
  async status(): Promise<Status> {
    const status = await readStatus(this.socketPath);
    this.#record(status.reactorPid);
    for (const worker of status.workers) this.#record(worker.pid);
    return status;
  }

  /** Waits until the status satisfies a condition, and returns that status. */
  waitForStatus(
    what: string,
    condition: (status: Status) => boolean,
    deadlineMs = DEADLINE_MS,
  ): Promise<Status> {
    let last: Status | undefined;
    const probe = async (): Promise<Status | undefined> => {
      if (this.#exit !== undefined) return undefined;
      last = await this.status();
      return condition(last) ? last : undefined;
    };
    const detail = () => `${JSON.stringify(last, null, 1) ?? "no status"}\n${this.describe()}`;
    return waitFor(what, probe, deadlineMs, detail);
  }

  /** Waits until as many workers as asked for are ready. Fails at once if the keeper ends. */
  async ready(deadlineMs = DEADLINE_MS): Promise<Status> {
    const ready = this.waitForStatus(
      `${this.#workers} workers ready`,
      (status) => readyPids(status).length >= this.#workers,
      deadlineMs,
    );
    const ended = this.exited.then(() => {
      throw new Error(`ended before it was ready\n${this.describe()}`);
    });
    return Promise.race([ready, ended]);
  }

  /** Pids of the workers that are ready, in the order of their index. */
  async workerPids(): Promise<number[]> {
    return readyPids(await this.status());
  }

  /** Where the n-th TCP or unix listener listens, by the service's own status. */
  async target(index = 0): Promise<Target> {
    const { listeners } = await this.status();
    const listener = listeners.filter((each) => each.kind !== "udp")[index];
    if (listener === undefined) throw new Error(`no listener ${index}\n${this.describe()}`);
    return listener.kind === "unix" ? { path: listener.address } : parseAddress(listener.address);
  }

  /** Runs another verb of the command line on this service. */
  control(verb: string, ...args: string[]): Promise<RunResult> {
    const env = this.#strings(this.#environment());
    return run(this.#node, ["--", CLI, verb, "--name", this.name, ...args], { env });
  }

  /** Reads its output no more: it writes into pipes without a reader from now on. */
  closeOutput(): void {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    kill(this.pid, signal);
  }

  /** Waits for a text in standard output. */
  waitForOutput(text: string | RegExp, deadlineMs = DEADLINE_MS): Promise<true> {
    const found = (): true | undefined =>
      (typeof text === "string" ? this.stdout.includes(text) : text.test(this.stdout))
        ? true
        : undefined;
    return waitFor(`output ${String(text)}`, found, deadlineMs, () => this.describe());
  }

  /** SIGTERM, the end of the keeper, and nothing left. Returns how the keeper ended. */
  async stop(deadlineMs = DEADLINE_MS): Promise<Exit> {
    this.signal("SIGTERM");
    await within(`stop of ${this.name}`, this.exited, deadlineMs).catch((error: unknown) => {
      throw new Error(`did not stop\n${this.describe()}`, { cause: error });
    });
    return this.assertNothingLeft();
  }

  /** Waits until the keeper has ended by itself, and asserts that nothing is left. */
  async end(deadlineMs = DEADLINE_MS): Promise<Exit> {
    await within(`end of ${this.name}`, this.exited, deadlineMs).catch((error: unknown) => {
      throw new Error(`did not end\n${this.describe()}`, { cause: error });
    });
    return this.assertNothingLeft();
  }

  /** Fails if a process or a control socket of this service outlives its keeper. */
  async assertNothingLeft(): Promise<Exit> {
    const exit = await this.exited;
    await waitFor(
      "no process left",
      () => this.leftPids().length === 0,
      DEADLINE_MS,
      () => `left:\n${this.leftPids().map(describeProcess).join("\n")}\n${this.describe()}`,
    );
    if (existsSync(this.socketPath)) throw new Error(`left: ${this.socketPath}`);
    return exit;
  }

  /** Ends what is left, whatever state the test is in; fails if stopping in order did not work. */
  async cleanUp(): Promise<void> {
    try {
      if (this.#exit === undefined) await this.stop();
    } finally {
      for (const pid of this.leftPids()) kill(pid, "SIGKILL");
      await this.exited;
      if (this.#ownsRuntimeDir) rmSync(this.runtimeDir, { recursive: true, force: true });
    }
  }

  #record(pid: number): void {
    if (pid > 0 && !this.#pids.has(pid)) this.#pids.set(pid, startTicks(pid));
  }

  /** Living processes of this service: those that it told of, and those that carry its mark. */
  leftPids(): number[] {
    const told = [...this.#pids.keys()].filter(
      (pid) => isAlive(pid) && startTicks(pid) === this.#pids.get(pid),
    );
    return [...new Set([...told, ...markedPids(this.#mark)])];
  }

  #environment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
    const own = { HOLDFAST_RUNTIME_DIR: this.runtimeDir, [MARK_VARIABLE]: this.#mark };
    return cleanEnvironment({ ...extra, ...own });
  }

  #strings(env: NodeJS.ProcessEnv): Record<string, string> {
    return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value ?? ""]));
  }
}

/** A fresh runtime directory; short, since the path of a unix socket holds 107 bytes. */
export function makeRuntimeDir(): string {
  return mkdtempSync(path.join(os.tmpdir(), "hf-"));
}

/** Pids of the workers that are ready. */
export function readyPids(status: Status): number[] {
  return status.workers.filter((worker) => worker.state === "ready").map((worker) => worker.pid);
}

/** `127.0.0.1:80`, `[::1]:80`, `0.0.0.0:80`, `[::]:80` or `*:80`, as something to connect to. */
export function parseAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  const bare = address.slice(0, colon).replace(/^\[|\]$/g, "");
  const loopback: Record<string, string> = {
    "0.0.0.0": "127.0.0.1",
    "::": "::1",
    "*": "127.0.0.1",
  };
  return { host: loopback[bare] ?? bare, port: Number(address.slice(colon + 1)) };
}
