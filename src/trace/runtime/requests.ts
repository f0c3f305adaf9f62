/**
 * The requests of `node:http` under one trace: when each began, its `self.x`, and, where a clause
 * at another probe asks for it, which of them is being served (AsyncLocalStorage; on Node 22 that
 * makes every `await` dearer, later versions do not notice).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel } from "node:diagnostics_channel";
import type { RequestRecord } from "../firing.ts";
import { now } from "./platform.ts";

interface Message {
  readonly request: object;
  readonly response: object;
}

type Listener = (record: RequestRecord) => void;

export class Requests {
  readonly #records: WeakMap<object, RequestRecord> = new WeakMap();
  readonly #context: AsyncLocalStorage<RequestRecord> | null;
  readonly #began: readonly Listener[];
  readonly #done: readonly Listener[];

  /** @param follows whether `current` is asked for */
  constructor(follows: boolean, began: readonly Listener[], done: readonly Listener[]) {
    this.#context = follows ? new AsyncLocalStorage() : null;
    this.#began = began;
    this.#done = done;
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
    this.#context?.disable();
  }

  // what Node publishes on these channels has these members (lib/_http_server.js)
  readonly #onStart = (message: unknown): void => {
    const { request, response } = message as Message;
    const record = { req: request, res: response, startedMs: now(), variables: null };
    this.#records.set(request, record);
    this.#context?.enterWith(record);
    for (const listener of this.#began) listener(record);
  };

  readonly #onFinish = (message: unknown): void => {
    const { request, response } = message as Message;
    const known = this.#records.get(request);
    const record = known ?? { req: request, res: response, startedMs: Number.NaN, variables: null };
    for (const listener of this.#done) listener(record);
    this.#records.delete(request);
    record.req = null;
    record.res = null;
  };
}

const START = channel("http.server.request.start");
const FINISH = channel("http.server.response.finish");
