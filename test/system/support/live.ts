/** A `holdfast trace --json` that runs beside a test. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { CLI, nodeBinary } from "./paths.ts";
import { cleanEnvironment } from "./run.ts";
import { get } from "./load.ts";
import type { Owner, Service } from "./service.ts";
import { DEADLINE_MS, waitFor, within } from "./wait.ts";

interface Line {
  readonly event: string;
  readonly reason?: string;
  readonly text?: string;
  readonly message?: string;
  readonly worker?: number;
  readonly workers?: number | readonly number[];
  readonly silent?: readonly number[];
  readonly drops?: number;
  readonly probes?: readonly { readonly probe: string; readonly off: string | null }[];
  readonly aggregations?: readonly {
    readonly name: string;
    readonly drops: number;
    readonly rows: readonly {
      readonly keys: readonly string[];
      readonly value?: number;
      readonly buckets?: readonly { readonly count: number }[];
    }[];
  }[];
}

const START_LIMIT_MS: number = 3 * DEADLINE_MS;

export class LiveTrace {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  readonly exited: Promise<number | null>;
  #rest = "";
  #stderr = "";

  constructor(owner: Owner, service: Service, args: readonly string[]) {
    const command = ["--", CLI, "trace", "--name", service.name, "--json", ...args];
    this.child = spawn(nodeBinary(), command, {
      env: cleanEnvironment({ HOLDFAST_RUNTIME_DIR: service.runtimeDir }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout?.setEncoding("utf8").on("data", (chunk: string) => this.#take(chunk));
    this.child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.#stderr += chunk;
    });
    this.exited = new Promise((resolve) => {
      this.child.on("close", (code) => resolve(code));
    });
    owner.after(async () => {
      this.child.kill("SIGKILL");
      await this.exited;
    });
  }

  /** Traces all workers that are ready; waits until they have the program. */
  static async start(owner: Owner, service: Service, ...args: string[]): Promise<LiveTrace> {
    const trace = new LiveTrace(owner, service, args);
    const isFirst = ({ event, workers }: Line): boolean => {
      return event === "aggregations" && workers !== 0;
    };
    // a command line starts first, on a machine that may be very busy
    await trace.waitFor("a first round", isFirst, START_LIMIT_MS);
    return trace;
  }

  waitFor(
    what: string,
    holds: (line: Line) => boolean,
    deadlineMs: number = DEADLINE_MS,
  ): Promise<Line> {
    const probe = (): Line | undefined => this.lines.findLast((line) => holds(line));
    return waitFor(what, probe, deadlineMs, () => this.describe());
  }

  /** Waits until the row of an aggregation has this value (or so many in its buckets). */
  waitForRow(name: string, keys: string, value: number): Promise<Line> {
    return this.waitFor(`@${name}[${keys}] is ${value}`, (line) => {
      return this.row(line, name, keys) === value;
    });
  }

  row(line: Line, name: string, keys: string): number | undefined {
    const rows = line.aggregations?.find((each) => each.name === name)?.rows;
    const row = rows?.find((each) => each.keys.join() === keys);
    return row?.value ?? row?.buckets?.reduce((sum, { count }) => sum + count, 0);
  }

  /** Ctrl-C, and the exit code. */
  async interrupt(): Promise<number | null> {
    this.child.kill("SIGINT");
    return within("the end of the trace", this.exited, DEADLINE_MS);
  }

  describe(): string {
    return `${this.lines.map((line) => JSON.stringify(line)).join("\n")}\n${this.#stderr}`;
  }

  #take(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    this.lines.push(...lines.map((line) => JSON.parse(line) as Line)); // ours, --json
  }
}

/** Asks until every worker has said that nothing in it is changed. */
export async function assertClean(service: Service): Promise<void> {
  const clean = new Set<number>();
  await waitFor("every worker is as it was", async () => {
    const target = await service.target();
    // at once, so that they are spread over the workers
    const answers = await Promise.all(Array.from({ length: 6 }, () => get(target, "/changes")));
    for (const { text } of answers) {
      const { pid, changes } = JSON.parse(text) as { pid: number; changes: readonly string[] };
      if (changes.length > 0) throw new Error(`${pid}: ${changes.join()}`);
      clean.add(pid);
    }
    return (await service.workerPids()).every((each) => clean.has(each));
  });
}
