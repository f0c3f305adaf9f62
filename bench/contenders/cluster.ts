/** `node:cluster`, round robin, with the recipe of `cluster-primary.cjs`. */
import { Service } from "./contender.ts";
import type { Contender, LaunchOptions, ReloadResult } from "./contender.ts";
import type { Started } from "../support/mod.ts";
import path from "node:path";

const PRIMARY = path.join(import.meta.dirname, "cluster-primary.cjs");

export const cluster: Contender = {
  name: "cluster",
  missing: () => undefined,
  launch: (options) => Promise.resolve(new ClusterService(options)),
};

class ClusterService extends Service {
  readonly #primary: Started;

  constructor(options: LaunchOptions) {
    super(options);
    const settings = { exec: options.entry, execArgv: this.nodeFlags, workers: options.workers };
    const args = [PRIMARY, JSON.stringify(settings)];
    this.#primary = this.start(options.node, args, { ipc: true });
  }

  override acceptor(): Promise<number> {
    return Promise.resolve(this.#primary.pid);
  }

  override reload(): Promise<ReloadResult> {
    const { child } = this.#primary;
    return new Promise((resolve) => {
      child.once("message", (result) => resolve(result as ReloadResult)); // our own program's word
      child.send("reload");
    });
  }

  override output(): string {
    return this.#primary.output;
  }

  protected override requestStop(): void {
    this.#primary.child.kill("SIGTERM");
  }
}
