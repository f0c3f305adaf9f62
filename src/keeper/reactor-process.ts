/** The reactor as the keeper sees it: a child process, a channel, and what it writes. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { PACKET_JSON, entryUrl, once } from "../base/mod.ts";
import type { KeeperToReactor, ReactorToKeeper } from "../base/mod.ts";
import { PacketChannel, closeDescriptor, socketPair } from "../os/mod.ts";
import { Tap } from "../supervision/mod.ts";
import type { Sink } from "../supervision/mod.ts";

const MAIN = fileURLToPath(entryUrl(import.meta.url, "../reactor/main.ts"));
/**
 * A small young generation keeps the resident size down; the old one has room for the retained
 * connections of the largest ledger.
 */
const NODE_FLAGS = ["--max-semi-space-size=1", "--max-old-space-size=1024"] as const;
/** Nobody else holds the other end of the channel, so its end is seen at once, but for mistakes. */
const LAST_PACKETS_MS = 500;
/**
 * A reactor that does not answer is killed after this long: the next one takes over, and nothing is
 * lost. Its longest turn, the recovery of 10,000 connections, takes half a second.
 */
const PING_MS = 1_000;
const UNANSWERED_MAX = 10;
/** Variables that would bring code of the user's, or of his tools, into the reactor. */
const FOREIGN_VARIABLES: readonly string[] = [
  "NODE_OPTIONS",
  "NODE_CHANNEL_FD",
  "NODE_UNIQUE_ID",
  "NODE_V8_COVERAGE",
];

export interface ReactorEvents {
  message(message: ReactorToKeeper, descriptors: number[]): void;
  exited(how: string): void;
  /** A line of its stderr. */
  line(line: string): void;
}

export class ReactorProcess {
  readonly #child: ChildProcess;
  readonly #channel: PacketChannel;
  readonly #ended = Promise.withResolvers<void>();
  #hasExited = false;
  #pings: NodeJS.Timeout | null = null;
  /** Counted in ticks of our own: a machine that was suspended has not waited for an answer. */
  #unanswered = 0;

  constructor(ledgerDescriptor: number, events: ReactorEvents) {
    const [ours, its] = socketPair();
    const environment = { ...process.env };
    for (const name of FOREIGN_VARIABLES) delete environment[name];
    try {
      this.#child = spawn(process.execPath, [...NODE_FLAGS, MAIN], {
        env: environment,
        stdio: ["ignore", "pipe", "pipe", its, ledgerDescriptor],
        detached: true, // Ctrl-C in the terminal is for us
      });
    } catch (error) {
      closeDescriptor(ours);
      throw error;
    } finally {
      closeDescriptor(its);
    }
    this.#channel = new PacketChannel(ours);
    this.#channel.onPacket((kind, payload, descriptors) => {
      if (kind !== PACKET_JSON) return descriptors.forEach(closeDescriptor);
      // Our own program, of this very version, at the other end of a private socket.
      events.message(JSON.parse(payload.toString()) as ReactorToKeeper, descriptors);
    });
    const onLine = (line: string): void => events.line(line);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) void new Tap(stream, NOWHERE, onLine, ignore);
    }
    this.#child.once("exit", (code, signal) => this.#exited(signal ?? `exit ${code}`, events));
    this.#child.once("close", () => this.#ended.resolve());
    this.#child.once("error", (error) => this.#exited(error.message, events));
  }

  /** What it sent before it died is still to be read; then the channel says that it is closed. */
  #exited(signal: string, events: ReactorEvents): void {
    if (this.#hasExited) return;
    this.#hasExited = true;
    if (this.#pings !== null) clearInterval(this.#pings);
    const isHung = this.#unanswered > UNANSWERED_MAX;
    const how = isHung ? `${signal}: no answer for ${UNANSWERED_MAX} s` : signal;
    const told = once(() => {
      clearTimeout(timer);
      this.#channel.close();
      events.exited(how);
    });
    const timer = setTimeout(told, LAST_PACKETS_MS);
    this.#channel.onClose(told);
    if (this.#channel.descriptor === null) told();
    if (this.pid === 0) this.#ended.resolve();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when it has ended and all its lines have come. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** The caller keeps its descriptors. */
  send(message: KeeperToReactor, descriptors: readonly number[] = []): void {
    this.#channel.sendJson(message, descriptors);
  }

  /** It is ready: from now on it has to answer. */
  watch(): void {
    this.#pings ??= setInterval(() => {
      this.#unanswered += 1;
      if (this.#unanswered > UNANSWERED_MAX) this.kill();
      else this.send({ type: "ping" });
    }, PING_MS).unref();
  }

  answered(): void {
    this.#unanswered = 0;
  }

  /** Lets it end: it does so when its channel is closed and no worker is left. */
  close(): void {
    this.#channel.close();
  }

  kill(): void {
    if (!this.#hasExited) this.#child.kill("SIGKILL");
  }
}

function ignore(): void {
  // Nothing is to be done.
}

/** Its lines are log records, which are rendered and not passed on. */
const NOWHERE: Sink = {
  write: () => true,
  onDrain: ignore,
  flush: () => Promise.resolve(),
  isTTY: false,
  isAtOnce: true,
};
