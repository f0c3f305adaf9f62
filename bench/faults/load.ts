/**
 * The load around a fault: closed loops (one request after the other on a kept connection), a probe
 * with a new connection every few milliseconds, and readers of server-sent events.
 */
import { Connection } from "./connection.ts";
import type { Outcome } from "./connection.ts";
import { Counts, nameOf } from "./counts.ts";

/** Told of each good answer: the text, and when its request began (`performance.now()`). */
export type OnAnswer = (text: string, beganAt: number) => void;

/** A loop that fails at once waits this long, so that a dead service does not spin the client. */
const PAUSE_AFTER_FAILURE_MS = 20;

/** Closed loops of `GET path` on `count` kept connections, until stopped. */
export class ClosedLoops {
  readonly failed: Counts = new Counts();
  requests = 0;
  /** Connections that ended in order between two requests. */
  endedBetween = 0;
  longestMs = 0;
  readonly #port: number;
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #onAnswer: OnAnswer;
  readonly #loops: Promise<void>[];
  #isStopped = false;

  constructor(port: number, count: number, path: string, timeoutMs: number, onAnswer: OnAnswer) {
    this.#port = port;
    this.#path = path;
    this.#timeoutMs = timeoutMs;
    this.#onAnswer = onAnswer;
    this.#loops = Array.from({ length: count }, () => this.#loop());
  }

  /** Ends the loops after the request that each is in. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
  }

  async #loop(): Promise<void> {
    let connection = new Connection(this.#port);
    while (!this.#isStopped) {
      if (connection.ended !== "open") {
        this.endedBetween += 1;
        connection = this.#replace(connection);
      }
      const beganAt = performance.now();
      const outcome = await connection.request("GET", this.#path, { timeoutMs: this.#timeoutMs });
      this.requests += 1;
      this.longestMs = Math.max(this.longestMs, outcome.ms);
      this.failed.addOutcome(outcome);
      if (outcome.kind === "ok") {
        this.#onAnswer(outcome.response.text, beganAt);
        if (outcome.response.headers.get("connection") === "close") {
          connection = this.#replace(connection);
        }
        continue;
      }
      connection = this.#replace(connection);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_AFTER_FAILURE_MS));
    }
    connection.close();
  }

  #replace(old: Connection): Connection {
    old.close();
    return new Connection(this.#port);
  }
}

/** A `GET /` on a new connection each `intervalMs`, whatever became of the ones before. */
export class Prober {
  readonly failed: Counts = new Counts();
  asked = 0;
  longestMs = 0;
  readonly #port: number;
  readonly #timeoutMs: number;
  readonly #onAnswer: OnAnswer;
  readonly #timer: NodeJS.Timeout;
  readonly #open = new Set<Promise<void>>();

  constructor(port: number, intervalMs: number, timeoutMs: number, onAnswer: OnAnswer) {
    this.#port = port;
    this.#timeoutMs = timeoutMs;
    this.#onAnswer = onAnswer;
    this.#timer = setInterval(() => this.#begin(), intervalMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
  }

  #begin(): void {
    const probe = this.#probe().finally(() => this.#open.delete(probe));
    this.#open.add(probe);
  }

  async #probe(): Promise<void> {
    const beganAt = performance.now();
    const outcome = await ask(this.#port, "/", this.#timeoutMs);
    this.asked += 1;
    this.longestMs = Math.max(this.longestMs, outcome.ms);
    this.failed.addOutcome(outcome);
    if (outcome.kind === "ok") this.#onAnswer(outcome.response.text, beganAt);
  }
}

/** One `GET` on a connection of its own. */
export async function ask(port: number, path: string, timeoutMs: number): Promise<Outcome> {
  const connection = new Connection(port);
  const headers = { connection: "close" };
  const outcome = await connection.request("GET", path, { timeoutMs, headers });
  connection.close();
  return outcome;
}

/** One reader of `/sse`, whose events are `data: <number> <worker>`. */
export class EventReader {
  events = 0;
  /** The worker that the last event came from. */
  worker = "";
  lastEventAt = 0;
  /** How the stream ended, if it has. */
  ended: string | undefined;
  readonly #connection: Connection;
  #text = "";

  constructor(port: number) {
    this.#connection = new Connection(port);
    const options = { timeoutMs: 2 ** 31 - 1, onBody: (piece: Buffer) => this.#read(piece) };
    void this.#connection.request("GET", "/sse", options).then((outcome) => {
      this.ended ??= nameOf(outcome);
    });
  }

  close(): void {
    this.ended ??= "closed";
    this.#connection.close();
  }

  #read(piece: Buffer): void {
    const blocks = (this.#text + piece.toString()).split("\n\n");
    this.#text = blocks.pop() ?? "";
    for (const block of blocks) {
      this.events += 1;
      this.worker = block.split(" ")[2] ?? "";
      this.lastEventAt = performance.now();
    }
  }
}
