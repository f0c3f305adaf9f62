/**
 * Bodies of responses that were asked for and are not read to their end: of `node:http`, and of
 * every copy of undici that publishes its channels, Node's `fetch` among them.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Inspector, PipeLimits, WatchedPipe } from "./monitor.ts";
import { callSite, watchOther } from "./monitor.ts";

/** What undici's channels tell (docs/docs/api/DiagnosticsChannel.md). */
interface UndiciMessage {
  readonly request: { readonly origin?: unknown; readonly method?: string };
  readonly socket?: Socket;
}

/** By the socket that a body comes from: what it has read, and whether somebody lets it. */
function ofSocket(socket: WeakRef<Socket>, isIdle: (socket: Socket) => boolean): Inspector {
  return {
    mark: () => socket.deref()?.bytesRead ?? 0,
    diagnose: () => {
      const found = socket.deref();
      const isUnread = found !== undefined && isIdle(found);
      return {
        why: isUnread ? "body-unconsumed" : "source-silent",
        culprit: isUnread ? "the application" : "the peer",
        evidence: { read: found?.bytesRead ?? 0, paused: found?.isPaused() ?? false },
      };
    },
  };
}

function ofHttp(limits: PipeLimits): () => void {
  const sites = new WeakMap<object, string>();
  const onCreated = (message: unknown): void => {
    const { request } = message as { request: ClientRequest }; // of this channel
    sites.set(request, callSite(true) ?? "Node");
  };
  const onResponse = (message: unknown): void => {
    // of this channel
    const { request, response } = message as { request: ClientRequest; response: IncomingMessage };
    const known = new WeakRef(response);
    const isIdle = (): boolean => known.deref()?.readableFlowing !== true;
    const inspector = ofSocket(new WeakRef(response.socket), isIdle);
    const name = `${request.method} ${request.host} body`;
    const watched = watchOther(name, response, limits, inspector, sites.get(request));
    // "close" comes when all of it was read, or the connection has gone
    response.once("close", () => watched.settle(response.complete ? "ok" : "cancelled"));
  };
  subscribe("http.client.request.created", onCreated);
  subscribe("http.client.response.finish", onResponse);
  return () => {
    unsubscribe("http.client.request.created", onCreated);
    unsubscribe("http.client.response.finish", onResponse);
  };
}

function ofUndici(limits: PipeLimits): () => void {
  const sockets = new WeakMap<object, WeakRef<Socket>>();
  const bodies = new WeakMap<object, WatchedPipe>();
  const onSent = (message: unknown): void => {
    const { request, socket } = message as UndiciMessage; // of this channel
    if (socket !== undefined) sockets.set(request, new WeakRef(socket));
  };
  const onHead = (message: unknown): void => {
    const { request } = message as UndiciMessage; // as above
    const socket = sockets.get(request);
    if (socket === undefined || bodies.has(request)) return;
    const inspector = ofSocket(socket, (each) => each.isPaused() || each.readableLength > 0);
    const name = `${request.method ?? "GET"} ${String(request.origin)} body`;
    bodies.set(request, watchOther(name, request, limits, inspector));
  };
  const onEnd = (message: unknown): void => {
    const { request, error } = message as UndiciMessage & { readonly error?: unknown };
    bodies.get(request)?.settle(error === undefined ? "ok" : "cancelled");
  };
  const channels: readonly [string, (message: unknown) => void][] = [
    ["undici:client:sendHeaders", onSent],
    ["undici:request:headers", onHead],
    ["undici:request:trailers", onEnd],
    ["undici:request:error", onEnd],
  ];
  for (const [name, listener] of channels) subscribe(name, listener);
  return () => {
    for (const [name, listener] of channels) unsubscribe(name, listener);
  };
}

/** Watches bodies from now on. Gives back what ends that. */
export function watchBodies(limits: PipeLimits): readonly (() => void)[] {
  return [ofHttp(limits), ofUndici(limits)];
}
