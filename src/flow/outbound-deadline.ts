/**
 * The deadline of the current context goes with every request that `node:http` and Node's `fetch`
 * send: as a header with the time that is left, and as an abort when it is over.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ClientRequest } from "node:http";
import { DEADLINE_HEADER, deadlineHeader } from "../base/mod.ts";
import { currentContext } from "./context.ts";
import { processFlow } from "./process-flow.ts";

/** What undici publishes with `undici:request:create` (docs/docs/api/DiagnosticsChannel.md). */
interface UndiciRequest {
  addHeader(name: string, value: string): void;
  readonly headers: unknown;
  /** Null until it is sent (lib/core/request.js). */
  readonly abort?: ((reason: Error) => void) | null;
  /** Ends it before that; the first in undici 8, the second before. */
  onResponseError?(reason: Error): void;
  onError?(reason: Error): void;
}

function onHttp(message: unknown): void {
  const { request } = message as { readonly request: ClientRequest }; // of this channel
  const deadline = currentContext()?.deadline ?? null;
  if (deadline === null) return;
  if (Number.isFinite(deadline.atMs) && !request.headersSent) {
    if (request.getHeader(DEADLINE_HEADER) === undefined) {
      request.setHeader(DEADLINE_HEADER, deadlineHeader(deadline.remainingMs()));
    }
  }
  const leave = deadline.onAbort((reason) => request.destroy(reason));
  request.once("close", leave);
}

/** Of requests of undici's that are in flight: what takes back that their deadline is heard. */
const leaves = new WeakMap<object, () => void>();

function onUndici(message: unknown): void {
  const { request } = message as { readonly request: UndiciRequest }; // of this channel
  const deadline = currentContext()?.deadline ?? null;
  if (deadline === null || isOfAnother(request)) return;
  // those of pool() and guardOutbound() end by themselves
  if (!processFlow().table.isObserved) {
    leaves.set(
      request,
      deadline.onAbort((reason) => end(request, reason)),
    );
  }
  if (!Number.isFinite(deadline.atMs)) return;
  const { headers } = request;
  const text = Array.isArray(headers) ? headers.join("\n") : String(headers);
  if (text.toLowerCase().includes(DEADLINE_HEADER)) return;
  request.addHeader(DEADLINE_HEADER, deadlineHeader(deadline.remainingMs()));
}

/**
 * Before undici 8 what waited in a pool's queue is made in the context of the request that has made
 * room for it: that context is another's.
 */
export function isOfAnother(request: object): boolean {
  if ("onResponseError" in request) return false;
  const former = Error.stackTraceLimit;
  Error.stackTraceLimit = 12;
  const { stack = "" } = new Error("where");
  Error.stackTraceLimit = former;
  return stack.includes("emitDrain"); // lib/dispatcher/client.js
}

function end(request: UndiciRequest, reason: Error): void {
  if (typeof request.abort === "function") request.abort(reason);
  else if (request.onResponseError !== undefined) request.onResponseError(reason);
  else request.onError?.(reason);
}

function onUndiciEnd(message: unknown): void {
  const { request } = message as { readonly request: UndiciRequest }; // of these channels
  leaves.get(request)?.();
  leaves.delete(request);
}

const CHANNELS: readonly (readonly [string, (message: unknown) => void])[] = [
  ["http.client.request.created", onHttp],
  ["undici:request:create", onUndici],
  ["undici:request:trailers", onUndiciEnd],
  ["undici:request:error", onUndiciEnd],
];

let users = 0;

/** Sends deadlines on from now on, until it is disposed of. */
export function forwardDeadlines(): Disposable {
  let isOn = true;
  users += 1;
  if (users === 1) {
    for (const [name, heard] of CHANNELS) subscribe(name, heard);
  }
  return {
    [Symbol.dispose]: () => {
      if (!isOn) return;
      isOn = false;
      users -= 1;
      if (users > 0) return;
      for (const [name, heard] of CHANNELS) unsubscribe(name, heard);
    },
  };
}
