/**
 * nginx and HAProxy in front of plain node processes, each of which is restarted when it ends.
 * A reload replaces one process after the other; the application then closes in order on SIGTERM.
 */
import { existsSync, writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { DeadlineError, childrenOf, commandOf, freePort, waitFor } from "../support/mod.ts";
import type { Started } from "../support/mod.ts";
import { Service } from "./contender.ts";
import type { Contender, LaunchOptions, ReloadResult } from "./contender.ts";
import { KeptProcess } from "./kept-process.ts";
import { haproxyConfiguration, nginxConfiguration } from "./proxy-configuration.ts";

interface Proxy {
  readonly name: string;
  readonly programs: readonly string[];
  readonly packageName: string;
  readonly configuration: (options: LaunchOptions, backends: readonly number[]) => string;
  readonly args: (file: string, folder: string) => string[];
}

const NGINX: Proxy = {
  name: "nginx",
  programs: ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"],
  packageName: "nginx-light",
  configuration: nginxConfiguration,
  args: (file, folder) => ["-p", folder, "-c", file, "-e", "stderr", "-g", "daemon off;"],
};

const HAPROXY: Proxy = {
  name: "haproxy",
  programs: ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"],
  packageName: "haproxy",
  configuration: haproxyConfiguration,
  args: (file) => ["-W", "-db", "-f", file],
};

export const nginx: Contender = contender(NGINX);
export const haproxy: Contender = contender(HAPROXY);

/**
 * How long the backends get to start, a new one to answer, and the proxy to notice that it does.
 */
const BACKENDS_START_MS = 20_000;
const BACKEND_READY_MS = 3000;
const PROXY_NOTICES_MS = 1200;

function contender(proxy: Proxy): Contender {
  const program = proxy.programs.find((file) => existsSync(file));
  return {
    name: proxy.name,
    missing: () =>
      program === undefined ? `install it with: apt-get install ${proxy.packageName}` : undefined,
    async launch(options) {
      if (program === undefined) throw new Error(`${proxy.name} is not installed`);
      const backends: number[] = [];
      while (backends.length < options.workers) backends.push(await freePort());
      const service = new ProxyService(options, proxy, backends);
      await service.begin(program);
      return service;
    },
  };
}

class ProxyService extends Service {
  readonly #proxy: Proxy;
  #process: Started | undefined;
  readonly #ports: readonly number[];
  readonly #backends: readonly KeptProcess[];

  constructor(options: LaunchOptions, proxy: Proxy, ports: readonly number[]) {
    super(options);
    this.#proxy = proxy;
    this.#ports = ports;
    this.#backends = ports.map((port) => {
      const args = [...this.nodeFlags, options.entry];
      const env = { PORT: String(port), CLOSE_ON_SIGTERM: "1" };
      return new KeptProcess(() => this.start(options.node, args, { env }));
    });
  }

  /** Starts the proxy when all that is behind it answers. */
  async begin(program: string): Promise<void> {
    const { folder } = this.options;
    const file = path.join(folder, `${this.#proxy.name}.conf`);
    writeFileSync(file, this.#proxy.configuration(this.options, this.#ports));
    for (const port of this.#ports) {
      await waitFor("the backends", BACKENDS_START_MS, () => answers(port));
    }
    this.#process = this.start(program, this.#proxy.args(file, folder));
  }

  get #started(): Started {
    if (this.#process === undefined) throw new Error(`${this.#proxy.name} was not started`);
    return this.#process;
  }

  /** The first worker process of the proxy. */
  override acceptor(): Promise<number> {
    const children = childrenOf(this.#started.pid);
    const worker = children.find((pid) => /nginx|haproxy/.test(commandOf(pid)));
    return Promise.resolve(worker ?? this.#started.pid);
  }

  override async reload(): Promise<ReloadResult> {
    for (const [i, backend] of this.#backends.entries()) {
      await backend.replace();
      try {
        await waitFor("a new backend", BACKEND_READY_MS, () => answers(this.#ports[i] ?? 0));
      } catch (error) {
        if (!(error instanceof DeadlineError)) throw error;
        return { ok: false, output: `backend ${i} does not answer; the others were left alone` };
      }
      await new Promise((resolve) => setTimeout(resolve, PROXY_NOTICES_MS));
    }
    return { ok: true, output: "" };
  }

  override output(): string {
    return [this.#started, ...this.#backends].map((each) => each.output).join("\n");
  }

  protected override requestStop(): void {
    for (const backend of this.#backends) backend.stop();
    this.#process?.child.kill("SIGTERM");
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get(
      { host: "127.0.0.1", port, agent: false, timeout: 500 },
      (response) => {
        response.resume();
        resolve(true);
      },
    );
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(false));
  });
}
