/** PM2 in cluster mode, with a daemon of its own (`PM2_HOME`). */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { benchFolder, run } from "../support/mod.ts";
import { Service } from "./contender.ts";
import type { Contender, LaunchOptions, ReloadResult } from "./contender.ts";

const PROGRAM = path.join(benchFolder, "node_modules/pm2/bin/pm2");

export const pm2: Contender = {
  name: "pm2",
  missing: () => (existsSync(PROGRAM) ? undefined : "install it with: npm --prefix bench install"),
  async launch(options) {
    const service = new Pm2Service(options);
    await service.begin();
    return service;
  },
};

class Pm2Service extends Service {
  readonly #ecosystem: string;

  constructor(options: LaunchOptions) {
    super(options);
    this.#ecosystem = path.join(options.folder, "ecosystem.config.cjs");
  }

  async begin(): Promise<void> {
    const { entry, workers, folder } = this.options;
    const app = {
      name: "app",
      script: entry,
      cwd: folder,
      exec_mode: "cluster",
      instances: workers,
      node_args: this.nodeFlags,
      env: this.environment(),
    };
    writeFileSync(this.#ecosystem, `module.exports = ${JSON.stringify({ apps: [app] })};\n`);
    const started = await this.#command("start", this.#ecosystem);
    if (started.code !== 0) throw new Error(`pm2 did not start: ${started.output}`);
  }

  override acceptor(): Promise<number> {
    const file = path.join(this.options.folder, "pm2/pm2.pid");
    return Promise.resolve(Number(readFileSync(file, "utf8")));
  }

  override async reload(): Promise<ReloadResult> {
    const { code, output } = await this.#command("reload", "app");
    return { ok: code === 0, output };
  }

  override output(): string {
    const file = path.join(this.options.folder, "pm2/pm2.log");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  protected override async requestStop(): Promise<void> {
    await this.#command("kill");
  }

  /** The daemon runs under the `node` that is first in PATH. */
  #command(...args: string[]): ReturnType<typeof run> {
    const { node, folder } = this.options;
    const env = this.environment({
      PM2_HOME: path.join(folder, "pm2"),
      PATH: `${path.dirname(node)}:${process.env["PATH"] ?? ""}`,
    });
    return run(node, [PROGRAM, ...args], { env, cwd: folder, deadlineMs: 30_000 });
  }
}
