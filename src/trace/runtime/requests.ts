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
}

type Listener = (record: RequestRecord) => void;

/** What is to be told of requests; `aborted` costs a listener on each response. */
export interface RequestListeners {
  readonly began: readonly Listener[];
  readonly done: readonly Listener[];
  readonly aborted: readonly Listener[];
}

export class Requests {
  readonly #records: WeakMap<object, RequestRecord> = new WeakMap();
  readonly #context: AsyncLocalStorage<RequestRecord> | null;
  readonly #listeners: RequestListeners;
  /** Responses under way whose end is listened to, with what does it. */
  readonly #awaited: Map<EventEmitter, () => void> = new Map();

  /** @param follows whether `current` is asked for */
  constructor(follows: boolean, listeners: RequestListeners) {
    this.#context = follows ? new AsyncLocalStorage() : null;
    this.#listeners = listeners;
    START.subscribe(this.#onStart);
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
    const { request, response } = message as Message;
    const record = { req: request, res: response, startedMs: now(), variables: null };
    this.#records.set(request, record);
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

  #forget(record: RequestRecord): void {
    if (typeof record.req === "object" && record.req !== null) this.#records.delete(record.req);
    record.req = null;
    record.res = null;
  }

  readonly #onFinish = (message: unknown): void => {
    const { request, response } = message as Message;
    const known = this.#records.get(request);
    const record = known ?? { req: request, res: response, startedMs: Number.NaN, variables: null };
    for (const listener of this.#listeners.done) listener(record);
    this.#forget(record);
  };
}

const START = channel("http.server.request.start");
const FINISH = channel("http.server.response.finish");
