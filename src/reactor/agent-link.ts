/**
 * The reactor's end of a worker's agent: asks, and what is answered. What can be asked is in
 * base/agent-messages.ts.
 *
 * ```
 *   open ask --part*--> done | failed | the agent has gone | too late
 * ```
 */
import { Socket } from "node:net";
import { JsonLines } from "../base/mod.ts";
import type { AgentRequest, AgentToReactor, ReactorToAgent } from "../base/mod.ts";

/** An agent sends profiles in parts of 64 KiB; a debugger's message may be a whole script. */
const LINE_CHARACTERS_MAX: number = 64 * 1024 * 1024;
/** Asks of one agent at a time. */
const ASKS_MAX = 32;

export interface AskOptions {
  /** Null: it may take as long as it takes. */
  readonly limitMs: number | null;
  readonly onPart?: (value: unknown) => void;
}

/** An ask that is under way. */
export interface AgentAsk {
  /** Rejects when the agent cannot, has gone, or does not answer in time. */
  readonly answer: Promise<unknown>;
  tell(value: unknown): void;
  /** Asks it to end; `answer` still comes. */
  cancel(): void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onPart: (value: unknown) => void;
}

/** See the file's docstring. Owns its stream, which may be a descriptor. */
export class AgentLink {
  readonly #socket: Socket;
  readonly #asks = new Map<number, Waiting>();
  readonly #onGone: (message: string) => void;
  #lastId = 0;
  #fault = "";

  /** @param onGone told when the agent has ended, with its last words */
  constructor(stream: number | Socket, onGone: (message: string) => void) {
    this.#onGone = onGone;
    const options = { readable: true, writable: true };
    this.#socket = typeof stream === "number" ? new Socket({ fd: stream, ...options }) : stream;
    const lines = new JsonLines(LINE_CHARACTERS_MAX);
    this.#socket.on("data", (chunk: Buffer) => {
      // our own thread, of the same version; what it says of the application is only shown
      for (const message of lines.push(chunk)) this.#received(message as AgentToReactor);
    });
    this.#socket.on("error", () => this.#socket.destroy()); // its end has gone: `close` follows
    this.#socket.on("close", () => this.#gone());
    this.#socket.unref();
    this.#socket.write("\n"); // ends what a former reactor may have begun
    this.#send({ type: "reset" });
  }

  get isOpen(): boolean {
    return this.#socket.writable;
  }

  /** Asks, and waits for the answer. */
  ask(request: AgentRequest, limitMs: number): Promise<unknown> {
    return this.open(request, { limitMs }).answer;
  }

  open(request: AgentRequest, { limitMs, onPart = () => undefined }: AskOptions): AgentAsk {
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (!this.isOpen) reject(new Error("it has no agent: the permission model refused it"));
    else if (this.#asks.size >= ASKS_MAX) reject(new Error(`${ASKS_MAX} others ask it already`));
    else {
      this.#asks.set(id, { resolve, reject, onPart });
      this.#send({ type: "ask", id, request });
    }
    const late = (): void => {
      reject(new Error(`its agent did not answer within ${limitMs} ms`));
      this.#send({ type: "cancel", id });
    };
    const timer = limitMs === null ? undefined : setTimeout(late, limitMs);
    const answer = promise.finally(() => {
      clearTimeout(timer);
      this.#asks.delete(id);
    });
    return {
      answer,
      tell: (value) => this.#send({ type: "tell", id, value }),
      cancel: () => this.#send({ type: "cancel", id }),
    };
  }

  /** The worker has ended. */
  close(): void {
    this.#socket.destroy();
  }

  #send(message: ReactorToAgent): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  #received(message: AgentToReactor): void {
    if (message.type === "fault") {
      this.#fault = message.message;
      return;
    }
    const waiting = this.#asks.get(message.id);
    if (message.type === "part") waiting?.onPart(message.value);
    else if (message.type === "done") waiting?.resolve(message.value);
    else waiting?.reject(new Error(message.message));
  }

  #gone(): void {
    for (const { reject } of this.#asks.values()) reject(new Error("its agent has ended"));
    this.#onGone(this.#fault);
  }
}
