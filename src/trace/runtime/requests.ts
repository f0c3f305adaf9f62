/**
 * The requests of `node:http` under one trace: when each began, its `self.x`, and, where a clause
 * at another probe asks for it, which of them is being served (AsyncLocalStorage; on Node 22 that
 * makes every `await` dearer, later versions do not notice).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel } from "node:diagnostics_channel";
import type { EventEmitter } from "node:events";
import type { RequestRecord } from "../firing.ts";
import { now } from "./platform.ts";

interface Message {
  readonly request: object;
  readonly response: object;
  readonly socket: object | null;
}

type Listener = (record: RequestRecord) => void;

/** What is to be told of requests; `aborted` costs a listener on each response. */
export interface RequestListeners {
  readonly began: readonly Listener[];
  readonly done: readonly Listener[];
  readonly aborted: readonly Listener[];
}

export class Requests {
  /**
   * By socket: it stays, while a request is there for a moment, and would be a new key each time.
   */
  readonly #bySocket: WeakMap<object, RequestRecord> = new WeakMap();
  /** Requests that another one of their socket is still before: they are pipelined. */
  readonly #byRequest: WeakMap<object, RequestRecord> = new WeakMap();
  readonly #context: AsyncLocalStorage<RequestRecord> | null;
  readonly #listeners: RequestListeners;
  /** Responses under way whose end is listened to, with what does it. */
  readonly #awaited: Map<EventEmitter, () => void> = new Map();

  /**
   * @param follows whether `current` is asked for
   * @param remembers whether what ends must know of its beginning
   */
  constructor(follows: boolean, remembers: boolean, listeners: RequestListeners) {
    this.#context = follows ? new AsyncLocalStorage() : null;
    this.#listeners = listeners;
    const { began, aborted } = listeners;
    if (remembers || began.length + aborted.length > 0) START.subscribe(this.#onStart);
    FINISH.subscribe(this.#onFinish);
  }

  /** The request that is being served now; null if none is, or if it began before the trace. */
  current(): RequestRecord | null {
    return this.#context?.getStore() ?? null;
  }

  close(): void {
    START.unsubscribe(this.#onStart);
    FINISH.unsubscribe(this.#onFinish);
    for (const [response, onClose] of this.#awaited) response.off("close", onClose);
    this.#awaited.clear();
    this.#context?.disable();
  }

  // what Node publishes on these channels has these members (lib/_http_server.js)
  readonly #onStart = (message: unknown): void => {
    const { request, response, socket } = message as Message;
    const record = { req: request, res: response, startedMs: now(), variables: null };
    const former = socket === null ? undefined : this.#bySocket.get(socket);
    if (socket === null || (former !== undefined && former.req !== null)) {
      this.#byRequest.set(request, record);
    } else this.#bySocket.set(socket, record);
    this.#context?.enterWith(record);
    for (const listener of this.#listeners.began) listener(record);
    if (this.#listeners.aborted.length > 0) this.#await(record, response as EventEmitter);
  };

  /** A response that closes before it has finished was not wanted any more. */
  #await(record: RequestRecord, response: EventEmitter): void {
    const onClose = (): void => {
      this.#awaited.delete(response);
      if (record.req === null) return; // it has finished
      for (const listener of this.#listeners.aborted) listener(record);
      this.#forget(record);
    };
    this.#awaited.set(response, onClose);
    response.once("close", onClose);
  }

  #known(request: object, socket: object | null): RequestRecord | undefined {
    const record = socket === null ? undefined : this.#bySocket.get(socket);
    return record?.req === request ? record : this.#byRequest.get(request);
  }

  #forget(record: RequestRecord): void {
    record.req = null;
    record.res = null;
  }

  readonly #onFinish = (message: unknown): void => {
    const { request, response, socket } = message as Message;
    const record = this.#known(request, socket) ?? {
      req: request,
      res: response,
      startedMs: Number.NaN,
      variables: null,
    };
    for (const listener of this.#listeners.done) listener(record);
    this.#forget(record);
  };
}

const START = channel("http.server.request.start");
const FINISH = channel("http.server.response.finish");
