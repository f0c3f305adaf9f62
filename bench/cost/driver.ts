/**
 * The load generator, as a process of its own: closed loops on 64 connections. It lives as long as
 * the measurement and keeps the connections to every contender open between two turns, so that a
 * turn may be short and holds nothing but requests.
 *
 * ```
 *   -> {type: "run", port, shape, ms}     <- {type: "ran", requests, failed}
 * ```
 * It never sleeps during a turn: on one machine who answers pays for waking the client, the more
 * the longer the client has waited, and a client elsewhere costs a server nothing of the kind.
 *
 * A turn ends when the last request of it is answered; all of them are counted. Responses on kept
 * connections are cut by the length of the first one, so every response must have the same.
 */
import net from "node:net";
import { CONNECTIONS } from "./shape.ts";
import type { Load, Shape } from "./shape.ts";

export interface ToDriver {
  readonly type: "run";
  readonly port: number;
  readonly shape: Shape;
  readonly ms: number;
}

const HEAD = "GET / HTTP/1.1\r\nhost: bench\r\n";
const KEPT_REQUEST = Buffer.from(`${HEAD}\r\n`);
const CLOSING_REQUEST = Buffer.from(`${HEAD}connection: close\r\n\r\n`);
const GOOD = Buffer.from("HTTP/1.1 200");
const EMPTY = Buffer.alloc(0);

/** One turn: loops take from it until the time is over. */
class Turn {
  requests = 0;
  failed = 0;
  readonly #endsAt: number;

  constructor(ms: number) {
    this.#endsAt = performance.now() + ms;
  }

  get isOver(): boolean {
    return performance.now() >= this.#endsAt;
  }

  count(isGood: boolean): void {
    if (isGood) this.requests += 1;
    else this.failed += 1;
  }
}

/** One kept connection; it connects again when the other side has ended it. */
class Kept {
  readonly #port: number;
  #socket: net.Socket | undefined;
  #got: Buffer = EMPTY;
  #responseBytes = 0;
  #turn: Turn | undefined;
  #over: (() => void) | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  /** Resolves when the turn is over and nothing is in flight. */
  async run(turn: Turn): Promise<void> {
    while (!turn.isOver) {
      this.#socket ??= await this.#connect();
      if (this.#socket === undefined) {
        turn.count(false);
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      const socket = this.#socket;
      await new Promise<void>((resolve) => {
        this.#turn = turn;
        this.#over = resolve;
        socket.write(KEPT_REQUEST);
      });
    }
  }

  #connect(): Promise<net.Socket | undefined> {
    return new Promise((resolve) => {
      const socket = net.connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
      socket.on("connect", () => resolve(socket));
      socket.on("error", () => resolve(undefined));
      socket.on("data", (chunk) => this.#receive(socket, chunk));
      socket.on("close", () => this.#lost(socket));
    });
  }

  #receive(socket: net.Socket, chunk: Buffer): void {
    this.#got = this.#got.length === 0 ? chunk : Buffer.concat([this.#got, chunk]);
    if (this.#responseBytes === 0) this.#responseBytes = responseBytes(this.#got);
    const length = this.#responseBytes;
    if (length === 0 || this.#got.length < length) return;
    const isGood = this.#got.length === length && isGoodStart(this.#got);
    this.#got = EMPTY;
    this.#turn?.count(isGood);
    if (this.#turn?.isOver === false) socket.write(KEPT_REQUEST);
    else this.#end();
  }

  #lost(socket: net.Socket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#got = EMPTY;
    this.#turn?.count(false);
    this.#end();
  }

  #end(): void {
    this.#turn = undefined;
    this.#over?.();
    this.#over = undefined;
  }
}

/** Bytes of one complete response with a Content-Length at the start of `bytes`; 0: not yet. */
function responseBytes(bytes: Buffer): number {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  const match = /\r\ncontent-length: (\d+)/i.exec(bytes.toString("latin1", 0, end));
  const length = end + 4 + Number(match?.[1] ?? 0);
  return bytes.length >= length ? length : 0;
}

function isGoodStart(bytes: Buffer): boolean {
  return bytes.compare(GOOD, 0, GOOD.length, 0, GOOD.length) === 0;
}

/** A connection for each request, until the turn is over. */
async function runClosing(port: number, turn: Turn): Promise<void> {
  while (!turn.isOver) turn.count(await askOnce(port));
}

function askOnce(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    let isGood = false;
    socket.write(CLOSING_REQUEST);
    socket.once("data", (chunk) => (isGood = isGoodStart(chunk)));
    socket.on("error", () => (isGood = false));
    socket.on("close", () => resolve(isGood));
  });
}

/** The event loop asks for what is ready, and does not wait for it. */
function stayAwake(turn: Turn): void {
  if (!turn.isOver) setImmediate(() => stayAwake(turn));
}

function main(): void {
  const kept = new Map<number, Kept[]>();
  const run = async ({ port, shape, ms }: ToDriver): Promise<Load> => {
    const turn = new Turn(ms);
    stayAwake(turn);
    if (shape === "keep-alive") {
      const connections =
        kept.get(port) ?? Array.from({ length: CONNECTIONS }, () => new Kept(port));
      kept.set(port, connections);
      await Promise.all(connections.map((connection) => connection.run(turn)));
    } else {
      await Promise.all(Array.from({ length: CONNECTIONS }, () => runClosing(port, turn)));
    }
    return { requests: turn.requests, failed: turn.failed };
  };
  const answer = async (message: ToDriver): Promise<void> => {
    process.send?.(await run(message));
  };
  process.on("message", (message) => void answer(message as ToDriver)); // our parent's word
  process.on("disconnect", () => process.exit());
}

main();
