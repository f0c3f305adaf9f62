/**
 * The deadline of the current context goes with every request that `node:http` and Node's `fetch`
 * send: as a header with the time that is left, and as an abort when it is over.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ClientRequest } from "node:http";
import { currentContext } from "./context.ts";
import { DEADLINE_HEADER, deadlineHeader } from "./request-deadline.ts";

/** What undici publishes with `undici:request:create` (docs/docs/api/DiagnosticsChannel.md). */
interface UndiciRequest {
  addHeader(name: string, value: string): void;
  readonly headers: unknown;
  abort?(reason: Error): void;
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

function onUndici(message: unknown): void {
  const { request } = message as { readonly request: UndiciRequest }; // of this channel
  const deadline = currentContext()?.deadline ?? null;
  if (deadline === null || !Number.isFinite(deadline.atMs)) return;
  const { headers } = request;
  const text = Array.isArray(headers) ? headers.join("\n") : String(headers);
  if (text.toLowerCase().includes(DEADLINE_HEADER)) return;
  request.addHeader(DEADLINE_HEADER, deadlineHeader(deadline.remainingMs()));
}

let users = 0;

/** Sends deadlines on from now on, until it is disposed of. */
export function forwardDeadlines(): Disposable {
  let isOn = true;
  users += 1;
  if (users === 1) {
    subscribe("http.client.request.created", onHttp);
    subscribe("undici:request:create", onUndici);
  }
  return {
    [Symbol.dispose]: () => {
      if (!isOn) return;
      isOn = false;
      users -= 1;
      if (users > 0) return;
      unsubscribe("http.client.request.created", onHttp);
      unsubscribe("undici:request:create", onUndici);
    },
  };
}
