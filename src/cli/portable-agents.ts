/**
 * The agents of portable mode's workers: each connects to a socket that is made for it alone, and
 * then does what it does under a reactor. Traces go through it as well.
 *
 * ```
 *   expect: socket --> worker starts, its agent connects: socket gone --> linked --exit--> gone
 * ```
 */
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import path from "node:path";
import { AGENT_OPTIONS, entryUrl } from "../base/mod.ts";
import type { ResolvedConfig, TraceMessage, WorkerIdentity } from "../base/mod.ts";
import { machineNowMs, readMainThread } from "../os/mod.ts";
import type { AgentStart, PortableAgents } from "../portable/mod.ts";
import { AgentLink, Live, Lookout, Stalls, Traces } from "../reactor/mod.ts";
import type { LiveLink, StallPorts, StalledLink, TracedLink } from "../reactor/mod.ts";
import type { LogFields } from "../supervision/mod.ts";

/** The first trace loads what carries it out, in the application's main thread. */
const TRACE_START_LIMIT_MS = 10_000;
const TRACE_LIMIT_MS = 1500;
/** Elsewhere nobody may look into a process from outside. */
const NO_LOOKOUT = {
  prepare: (): void => undefined,
  look: (): Promise<never> => Promise.reject(new Error("nobody can look from outside")),
};

export type Log = (level: "info" | "warn" | "error", message: string, fields: LogFields) => void;

/** A worker; its process may not be there yet, and its agent may never come. */
interface Place {
  readonly identity: WorkerIdentity;
  readonly server: Server;
  pid: number;
  isReady: boolean;
  link: Link | null;
}

type Link = {
  -readonly [Key in keyof (LiveLink & TracedLink & StalledLink)]: (LiveLink &
    TracedLink &
    StalledLink)[Key];
};

/** See the file's docstring. */
export class LinkedAgents implements PortableAgents {
  readonly live: Live;
  readonly traces: Traces;
  readonly #config: ResolvedConfig;
  readonly #log: Log;
  readonly #places = new Map<number, Place>();
  readonly #links = new Map<number, Link>();
  readonly #stalls: Stalls<Link>;

  constructor(config: ResolvedConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    this.traces = new Traces(this.#links);
    const limitBytes = (): number => config.memoryLimitBytes;
    const lookout = isLinux ? new Lookout() : NO_LOOKOUT;
    this.live = new Live({ links: this.#links, limitBytes, lookout, log });
    const ports: StallPorts<Link> = {
      nowMs: machineNowMs,
      // eviction is the business of this mode's own watch
      config: () => ({ ...config, stallLimitMs: 0, stallRescue: false }),
      mainThread: (pid: number) => (isLinux ? readMainThread(pid) : null),
      executing: () => null,
      lacksLedger: true,
      evict: () => undefined,
      log,
    };
    this.#stalls = new Stalls(ports, lookout);
  }

  expect(identity: WorkerIdentity): AgentStart {
    const { runtimeDir, name } = this.#config;
    const file = path.join(runtimeDir, `${name}-${identity.id}.agent`);
    const socketPath = process.platform === "win32" ? `\\\\.\\pipe\\${file}` : file;
    const server = createServer();
    const place: Place = { identity, server, pid: 0, isReady: false, link: null };
    this.#places.set(identity.id, place);
    server.on("connection", (socket) => {
      server.close(); // nobody else
      this.#connected(place, socket);
    });
    server.on("error", (error) => {
      this.#log("warn", `worker ${identity.index} gets no agent: ${error.message}`, {});
    });
    if (process.platform !== "win32") rmSync(socketPath, { force: true }); // of a former run
    const mask = process.umask(0o177); // as the control socket: ours from the start
    server.listen(socketPath);
    process.umask(mask);
    server.unref();
    const main = entryUrl(import.meta.url, "../agent/main.ts");
    return { main: String(main), socketPath, options: AGENT_OPTIONS };
  }

  spawned(id: number, pid: number): void {
    const place = this.#places.get(id);
    if (place !== undefined) place.pid = pid;
    if (place?.link !== null && place?.link !== undefined) place.link.pid = pid;
  }

  heard(id: number): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.heartbeatMs = machineNowMs();
    this.#stalls.moving(link);
  }

  ready(id: number): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    place.isReady = true;
    if (place.link === null) return;
    place.link.isReady = true;
    place.link.isFed = true;
    this.traces.ready(place.link);
  }

  forget(id: number): readonly string[] {
    const place = this.#places.get(id);
    this.#places.delete(id);
    this.#links.delete(id);
    this.#stalls.forget(id);
    place?.server.close();
    if (place?.link === null || place?.link === undefined) return [];
    this.traces.gone(place.link);
    place.link.agent.close();
    return place.link.lastStack;
  }

  debugSignalled(): void {
    this.live.debugSignalled(this.#config);
  }

  tick(): readonly number[] {
    const now = machineNowMs();
    const held: number[] = [];
    for (const link of this.#links.values()) {
      if (link.holds > 0) {
        held.push(link.id);
        link.heartbeatMs = now;
      } else if (link.heartbeatMs > 0) this.#stalls.silent(link, now - link.heartbeatMs);
    }
    return held;
  }

  #connected(place: Place, socket: Socket): void {
    const { id, index } = place.identity;
    const agent = new AgentLink(socket, (fault) => this.live.agentGone(id, fault));
    const link: Link = {
      id,
      index,
      pid: place.pid,
      agent,
      isReady: place.isReady,
      isFed: place.isReady,
      isEnding: false, // nothing tells of it before its end
      heartbeatMs: 0,
      progress: "", // nothing is rescued in portable mode
      holds: 0,
      lastStack: [],
      lastRoute: null,
      send: (message) => this.#trace(link, message as TraceMessage), // only traces send
    };
    place.link = link;
    this.#links.set(id, link);
    if (place.isReady) this.traces.ready(link);
  }

  #trace(link: Link, asked: TraceMessage): boolean {
    const limitMs = asked.type === "trace-pull" ? TRACE_LIMIT_MS : TRACE_START_LIMIT_MS;
    link.agent.ask({ kind: "trace", message: asked }, limitMs).then(
      (answer) => this.traces.answer(link, asked.id, answer),
      (error: unknown) => {
        if (asked.type !== "trace-start") return; // the next question is answered
        this.traces.answer(link, asked.id, { error: String(error) });
      },
    );
    return true;
  }
}

const isLinux = process.platform === "linux";
