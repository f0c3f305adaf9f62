/**
 * Diagnostics channels that are known to exist, for `dc:` with a `*` and for `holdfast probes`.
 * Node cannot list its channels; one that is not here is subscribed to by its whole name. Those of
 * Node are the ones that 22, 24 and 26 publish on (their own sources), the others those of the
 * packages' documentation.
 */
const TRACING = ["start", "end", "asyncStart", "asyncEnd", "error"];

function tracing(...names: readonly string[]): readonly string[] {
  return names.flatMap((name) => TRACING.map((event) => `tracing:${name}:${event}`));
}

export const KNOWN_CHANNELS: readonly string[] = [
  "http.client.request.created",
  "http.client.request.start",
  "http.client.request.error",
  "http.client.response.finish",
  "http.server.request.start",
  "http.server.response.created",
  "http.server.response.finish",
  ...["created", "start", "error", "finish", "close"].flatMap((event) => [
    `http2.client.stream.${event}`,
    `http2.server.stream.${event}`,
  ]),
  "net.client.socket",
  "net.server.socket",
  "udp.socket",
  "child_process",
  "worker_threads",
  "process.execve",
  ...["log", "info", "debug", "error", "warn"].map((level) => `console.${level}`),
  ...tracing("net.server.listen", "module.require", "module.import", "child_process.spawn"),
  ...["create", "bodySent", "headers", "trailers", "error"].map((e) => `undici:request:${e}`),
  ...["bodyChunkSent", "bodyChunkReceived"].map((event) => `undici:request:${event}`),
  ...["beforeConnect", "connected", "connectError", "sendHeaders"].map((e) => `undici:client:${e}`),
  "undici:proxy:connected",
  ...["open", "close", "socket_error", "ping", "pong"].map((event) => `undici:websocket:${event}`),
  "fastify.initialization",
  ...tracing("fastify.request.handler"),
  ...tracing("ioredis:command", "ioredis:connect"),
  ...tracing("mysql2:query", "mysql2:execute", "mysql2:connect", "mysql2:pool:connect"),
  ...tracing("pg:query", "pg:connection"),
  ...tracing("mongoose:query"),
];
