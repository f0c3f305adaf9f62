/** One plain node process, restarted when it ends. */
import { KeptProcess } from "./kept-process.ts";
import { Service } from "./contender.ts";
import type { Contender, LaunchOptions, ReloadResult } from "./contender.ts";

export const single: Contender = {
  name: "single",
  missing: () => undefined,
  launch: (options) => Promise.resolve(new SingleService(options)),
};

class SingleService extends Service {
  readonly #process: KeptProcess;

  constructor(options: LaunchOptions) {
    super(options);
    const args = [...this.nodeFlags, options.entry];
    this.#process = new KeptProcess(() => this.start(options.node, args));
  }

  override acceptor(): Promise<number> {
    return Promise.resolve(-1);
  }

  override async reload(): Promise<ReloadResult> {
    await this.#process.replace();
    return { ok: true, output: "" };
  }

  override output(): string {
    return this.#process.output;
  }

  protected override requestStop(): void {
    this.#process.stop();
  }
}
