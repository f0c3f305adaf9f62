/** Starting programs: with their output kept, in an environment without npm's and ours. */
import { spawn } from "node:child_process";
import type { ChildProcess, StdioOptions } from "node:child_process";

/** How much of a program's output is kept, for the message when something fails. */
const OUTPUT_BYTES_MAX = 64 * 1024;

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Adds a channel for `process.send`. */
  readonly ipc?: boolean;
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** A program that runs: its output, its end. */
export class Started {
  readonly child: ChildProcess;
  /** Settles when it has ended; never rejects: a program that cannot start has ended with 127. */
  readonly finished: Promise<Finished>;
  #output = "";
  #isOver = false;

  constructor(program: string, args: readonly string[], options: StartOptions = {}) {
    const stdio: StdioOptions = ["ignore", "pipe", "pipe"];
    if (options.ipc === true) stdio.push("ipc");
    const env = cleanEnvironment(options.env);
    this.child = spawn(program, args, { cwd: options.cwd, env, stdio });
    this.child.stdout?.on("data", (chunk: Buffer) => this.#keep(chunk));
    this.child.stderr?.on("data", (chunk: Buffer) => this.#keep(chunk));
    this.finished = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#isOver = true;
        resolve({ code, signal, output: this.#output });
      };
      this.child.on("error", (error) => {
        this.#output += error.message;
        end(127, null);
      });
      this.child.on("exit", end);
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** What it has written so far, both streams, the last part. */
  get output(): string {
    return this.#output;
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`did not start: ${this.#output}`);
    return this.child.pid;
  }

  #keep(chunk: Buffer): void {
    this.#output = (this.#output + chunk.toString()).slice(-OUTPUT_BYTES_MAX);
  }
}

/** Runs a program to its end, or kills it at the deadline (then the code is null). */
export async function run(
  program: string,
  args: readonly string[],
  options: StartOptions & { readonly deadlineMs?: number } = {},
): Promise<Finished> {
  const started = new Started(program, args, options);
  const timer = setTimeout(() => started.child.kill("SIGKILL"), options.deadlineMs ?? 60_000);
  const finished = await started.finished;
  clearTimeout(timer);
  return finished;
}

/**
 * Ours without what npm and a shell of Holdfast's put there, so that programs start as users do.
 */
function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^(npm_|NODE_|HOLDFAST_|FORCE_COLOR$)/i.test(name)) env[name] = value;
  }
  return { ...env, ...extra };
}
