/**
 * What an unmodified application asks of others stands in its accounts as `http.out`: seen by the
 * channels of `node:http` and of every copy of undici, Node's `fetch` among them. Nothing is
 * changed on the way.
 *
 * ```
 *   node:http  request.created --> request.start --> response.finish --> "close"
 *   undici     request:create  --> bodySent      --> headers         --> trailers, or error
 *   state      connecting          sent              body
 * ```
 * What `holdfast/flow` accounts for itself is left out here.
 */
import { subscribe } from "node:diagnostics_channel";
import { errorMonitor } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";
import { WORK_OUTCOMES, WORK_STATES } from "../ledger/mod.ts";
import type { WorkOutcome, WorkState, WorkTable } from "../ledger/mod.ts";

/** What undici publishes (docs/docs/api/DiagnosticsChannel.md). */
interface UndiciMessage {
  readonly request: {
    readonly method?: string;
    readonly origin?: unknown;
  };
  readonly error?: unknown;
}

/** One request that is out. */
interface Call {
  readonly work: number;
  readonly origin: string;
  readonly tell: ((isWell: boolean) => void) | null;
}

/** What the calls are told by, and what is asked about them. */
export interface OutboundPorts {
  readonly nowMs: () => number;
  /** A request begins; how many its origin has now. Gives what is told of its end. */
  readonly onCall: (origin: string, inFlight: number) => ((isWell: boolean) => void) | null;
  /** The work that it is done for; 0: it is not known. */
  readonly parentOf: (request: object) => number;
}

const KIND = "http.out";

/** See the file's docstring. */
export class OutboundCalls {
  readonly #table: WorkTable;
  readonly #ports: OutboundPorts;
  readonly #kind: number;
  readonly #calls = new WeakMap<object, Call>();
  readonly #inFlight = new Map<string, number>();

  constructor(table: WorkTable, ports: OutboundPorts) {
    this.#table = table;
    this.#ports = ports;
    this.#kind = table.kind(KIND);
  }

  /** `node:http` and `node:https`, for the life of the process. */
  watchHttp(): void {
    subscribe("http.client.request.start", (message) => {
      const { request } = message as { readonly request: ClientRequest }; // lib/_http_client.js
      if (this.#table.observed.has(request)) return;
      const { protocol, host, method } = request;
      const named = request.getHeader("host");
      this.#begin(request, method, `${protocol}//${typeof named === "string" ? named : host}`);
      this.#state(request, "sent");
      let error: unknown = null;
      // hears it without taking it from who should
      request.once(errorMonitor, (why: unknown) => (error = why));
      request.once("close", () => this.#end(request, outcomeOfHttp(request, error)));
    });
    subscribe("http.client.response.finish", (message) => {
      const { request } = message as { readonly request: ClientRequest }; // as above
      this.#state(request, "body");
    });
  }

  /** Every copy of undici, for the life of the process. */
  watchUndici(): void {
    const on = (event: string, f: (message: UndiciMessage) => void): void => {
      subscribe(`undici:request:${event}`, (message) => f(message as UndiciMessage));
    };
    on("create", ({ request }) => {
      if (this.#table.isObserved) return;
      this.#begin(request, request.method ?? "GET", String(request.origin));
    });
    on("bodySent", ({ request }) => this.#state(request, "sent"));
    on("headers", ({ request }) => this.#state(request, "body"));
    on("trailers", ({ request }) => this.#end(request, "ok"));
    on("error", ({ request, error }) => this.#end(request, outcomeOfError(error)));
  }

  #begin(request: object, method: string, origin: string): void {
    const name = this.#table.name(`${method} ${origin}`);
    this.#table.nowMs = this.#ports.nowMs();
    const work = this.#table.begin(this.#kind, name, this.#ports.parentOf(request), 0);
    this.#table.setState(work, WORK_STATES.indexOf("connecting"));
    const inFlight = (this.#inFlight.get(origin) ?? 0) + 1;
    this.#inFlight.set(origin, inFlight);
    this.#calls.set(request, { work, origin, tell: this.#ports.onCall(origin, inFlight) });
  }

  #state(request: object, state: WorkState): void {
    const call = this.#calls.get(request);
    if (call === undefined) return;
    this.#table.setState(call.work, WORK_STATES.indexOf(state));
    this.#table.nowMs = this.#ports.nowMs();
    this.#table.progress(call.work, 0);
  }

  #end(request: object, outcome: WorkOutcome): void {
    const call = this.#calls.get(request);
    if (call === undefined) return;
    this.#calls.delete(request);
    const left = (this.#inFlight.get(call.origin) ?? 1) - 1;
    if (left > 0) this.#inFlight.set(call.origin, left);
    else this.#inFlight.delete(call.origin);
    this.#table.nowMs = this.#ports.nowMs();
    this.#table.end(call.work, WORK_OUTCOMES.indexOf(outcome));
    call.tell?.(outcome === "ok");
  }
}

function outcomeOfHttp(request: ClientRequest, error: unknown): WorkOutcome {
  const { res } = request as { readonly res?: IncomingMessage | null }; // lib/_http_client.js
  return res?.complete === true ? "ok" : outcomeOfError(error);
}

function outcomeOfError(error: unknown): WorkOutcome {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  if (name === "AbortError") return "cancelled";
  return name === "TimeoutError" ? "expired" : "error";
}
