/**
 * W3C trace context, passed on (`--trace-context`): what the application asks others for while it
 * serves a request that has a `traceparent` gets that one, with its `tracestate`. Who receives the
 * header has to send it on and may change it (W3C Trace Context, "Mutating the traceparent Field");
 * we make no spans, so it stays as it is. Where the application, or a tracer in it, has set the
 * header itself, nothing is touched.
 *
 * ```
 *   http.server.request.start --> AsyncLocalStorage --> http.client.request.created  setHeader
 *                                                   --> undici:request:create        addHeader
 * ```
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe } from "node:diagnostics_channel";
import type { ClientRequest, IncomingMessage } from "node:http";

interface Context {
  readonly traceparent: string;
  readonly tracestate: string | null;
}

/** What undici publishes of its requests (lib/core/request.js); headers are names and values. */
interface UndiciRequest {
  readonly headers?: unknown;
  addHeader?(name: string, value: string): unknown;
}

/** Version, trace, parent, flags ("traceparent Header Field Values"). */
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-|$)/;
/** At least that much is to be passed on ("tracestate Limits"); what is longer is left out. */
const TRACESTATE_CHARACTERS_MAX = 512;

/** Passes it on for the life of the process. */
export function passTraceContext(): void {
  const storage = new AsyncLocalStorage<Context | null>();
  subscribe("http.server.request.start", (message) => {
    // as Node publishes it (lib/_http_server.js)
    const { request } = message as { readonly request: IncomingMessage };
    storage.enterWith(contextOf(request.headers)); // null, too: the last request's is over
  });
  subscribe("http.client.request.created", (message) => {
    const context = storage.getStore() ?? null;
    const { request } = message as { readonly request: ClientRequest }; // lib/_http_client.js
    // headers that were given as a list are text already
    if (context === null || request.headersSent || request.hasHeader("traceparent")) return;
    for (const [name, value] of headersOf(context)) request.setHeader(name, value);
  });
  subscribe("undici:request:create", (message) => {
    const context = storage.getStore() ?? null;
    const { request } = message as { readonly request: UndiciRequest };
    const { headers } = request;
    if (context === null || !Array.isArray(headers) || isNamed(headers)) return;
    for (const [name, value] of headersOf(context)) request.addHeader?.(name, value);
  });
}

function contextOf(headers: IncomingMessage["headers"]): Context | null {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== "string" || !TRACEPARENT.test(traceparent)) return null;
  const state = typeof tracestate === "string" ? tracestate : "";
  const isKept = state !== "" && state.length <= TRACESTATE_CHARACTERS_MAX;
  return { traceparent, tracestate: isKept ? state : null };
}

function headersOf({ traceparent, tracestate }: Context): readonly (readonly [string, string])[] {
  const parent = ["traceparent", traceparent] as const;
  return tracestate === null ? [parent] : [parent, ["tracestate", tracestate]];
}

/** Whether the application has set it itself. */
function isNamed(headers: readonly unknown[]): boolean {
  return headers.some((each, index) => {
    return index % 2 === 0 && typeof each === "string" && each.toLowerCase() === "traceparent";
  });
}
