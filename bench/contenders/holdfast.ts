/** Holdfast itself: the compiled command line of this repository. */
import { existsSync, mkdirSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { repositoryFolder, run } from "../support/mod.ts";
import type { Finished, Started } from "../support/mod.ts";
import { Service } from "./contender.ts";
import type { Contender, LaunchOptions, ReloadResult } from "./contender.ts";

const PROGRAM = path.join(repositoryFolder, "dist/cli/main.js");
const NAME = "app";
const CONTROL_DEADLINE_MS = 60_000;

/** The part of the control socket's status that these programs read. */
export interface HoldfastStatus {
  readonly pid: number;
  readonly reactorPid: number;
  readonly state: string;
  readonly workers: readonly {
    readonly index: number;
    readonly pid: number;
    readonly state: string;
    readonly connections: number;
  }[];
  readonly totals: Readonly<Record<string, number>>;
}

export const holdfast: Contender = {
  name: "holdfast",
  missing,
  launch: (options) => Promise.resolve(new HoldfastService(options)),
};

/** The same with `--accept kernel`. */
export const holdfastKernel: Contender = {
  name: "holdfast-kernel",
  missing,
  launch(options) {
    const holdfastFlags = ["--accept", "kernel", ...options.holdfastFlags];
    return Promise.resolve(new HoldfastService({ ...options, holdfastFlags }));
  },
};

/** Another build, by the path of its compiled command line: what did a change cost? */
const OTHER_VARIABLE = "HOLDFAST_OTHER";

export const holdfastOther: Contender = {
  name: "holdfast-other",
  missing() {
    const program = process.env[OTHER_VARIABLE] ?? "";
    if (existsSync(program)) return undefined;
    return `name the command line of another build: ${OTHER_VARIABLE}=<folder>/dist/cli/main.js`;
  },
  launch(options) {
    const program = process.env[OTHER_VARIABLE] ?? PROGRAM;
    return Promise.resolve(new HoldfastService(options, path.resolve(program)));
  },
};

function missing(): string | undefined {
  return existsSync(PROGRAM) ? undefined : "compile it with: npm run build";
}

export class HoldfastService extends Service {
  readonly #keeper: Started;
  readonly #runtimeFolder: string;
  readonly #program: string;

  constructor(options: LaunchOptions, program = PROGRAM) {
    super(options);
    this.#program = program;
    this.#runtimeFolder = path.join(options.folder, "run");
    mkdirSync(this.#runtimeFolder, { mode: 0o700 });
    const flags = ["--name", NAME, "--workers", String(options.workers)];
    const nodeArgs = this.nodeFlags.flatMap((flag) => ["--node-arg", flag]);
    const args = [program, "run", ...flags, ...nodeArgs, ...options.holdfastFlags, options.entry];
    const where = { env: this.#runtimeEnvironment(), cwd: options.folder };
    this.#keeper = this.start(options.node, args, where);
  }

  override get hasEnded(): boolean {
    return this.#keeper.isOver;
  }

  override async acceptor(): Promise<number> {
    return (await this.status()).reactorPid;
  }

  override async reload(): Promise<ReloadResult> {
    const { code, output } = await this.verb("reload");
    return { ok: code === 0, output };
  }

  override output(): string {
    return this.#keeper.output;
  }

  /** Runs a verb of the command line on this service. */
  verb(...args: readonly string[]): Promise<Finished> {
    const { node, folder } = this.options;
    const [verb = "status", ...rest] = args;
    const env = this.environment(this.#runtimeEnvironment());
    const options = { env, cwd: folder, deadlineMs: CONTROL_DEADLINE_MS };
    return run(node, [this.#program, verb, "--name", NAME, ...rest], options);
  }

  /** Asks the control socket. */
  status(): Promise<HoldfastStatus> {
    const socketPath = path.join(this.#runtimeFolder, `${NAME}.sock`);
    return new Promise((resolve, reject) => {
      const request = http.get({ socketPath, path: "/v1/status", agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.on("end", () => {
          if (response.statusCode !== 200)
            reject(new Error(`status ${response.statusCode}: ${text}`));
          else resolve(JSON.parse(text) as HoldfastStatus); // our own server's answer
        });
      });
      request.on("error", reject);
    });
  }

  protected override requestStop(): void {
    this.#keeper.child.kill("SIGTERM");
  }

  #runtimeEnvironment(): Record<string, string> {
    return { HOLDFAST_RUNTIME_DIR: this.#runtimeFolder };
  }
}
