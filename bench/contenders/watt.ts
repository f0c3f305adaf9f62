/** Watt: one process, a thread for each worker, each listening with SO_REUSEPORT. */
import { existsSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { benchFolder, run } from "../support/mod.ts";
import type { Started } from "../support/mod.ts";
import { Service } from "./contender.ts";
import type { Contender, LaunchOptions, ReloadResult } from "./contender.ts";

const PROGRAM = path.join(benchFolder, "node_modules/wattpm/bin/cli.js");

const YOUNG_MEGABYTES = 64;

export const watt: Contender = {
  name: "watt",
  missing: () => (existsSync(PROGRAM) ? undefined : "install it with: npm --prefix bench install"),
  launch: (options) => Promise.resolve(new WattService(options)),
};

class WattService extends Service {
  readonly #process: Started;

  constructor(options: LaunchOptions) {
    super(options);
    const { folder, node } = options;
    symlinkSync(path.join(benchFolder, "node_modules"), path.join(folder, "node_modules"));
    writeFileSync(path.join(folder, "package.json"), JSON.stringify({ name: "watt-app" }));
    writeFileSync(path.join(folder, "watt.json"), JSON.stringify(this.#configuration()));
    const main = `require(${JSON.stringify(options.entry)});\n`;
    writeFileSync(path.join(folder, "main.cjs"), main);
    this.#process = this.start(node, [PROGRAM, "start"], { cwd: folder });
  }

  override acceptor(): Promise<number> {
    return Promise.resolve(this.#process.pid);
  }

  override async reload(): Promise<ReloadResult> {
    const { folder, node } = this.options;
    const args = [PROGRAM, "restart", String(this.#process.pid)];
    const options = { env: this.environment(), cwd: folder, deadlineMs: 40_000 };
    const { code, output } = await run(node, args, options);
    return { ok: code === 0, output };
  }

  override output(): string {
    return this.#process.output;
  }

  protected override requestStop(): void {
    this.#process.child.kill("SIGTERM");
  }

  #configuration(): object {
    const { port, workers, heapMegabytes } = this.options;
    // its old generation is the total less the young one, which is 128 MB by default
    const heap = {
      maxHeapTotal: `${heapMegabytes + YOUNG_MEGABYTES}MB`,
      maxYoungGeneration: `${YOUNG_MEGABYTES}MB`,
    };
    const health = heapMegabytes > 0 ? { health: heap } : {};
    return {
      $schema: "https://schemas.platformatic.dev/@platformatic/node/3.65.0.json",
      node: { main: "main.cjs" },
      runtime: {
        logger: { level: "info" },
        server: { hostname: "127.0.0.1", port },
        workers: { static: workers },
        metrics: false,
        ...health,
      },
    };
  }
}
