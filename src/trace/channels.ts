/**
 * Diagnostics channels that are known to exist, for `dc:` with a `*` and for `holdfast probes`.
 * Node cannot list its channels; one that is not here is subscribed to by its whole name. Those of
 * Node are the ones that the sources of 22, 24 and 26 publish on, those of packages the ones of
 * undici 8, fastify 5, ioredis 6, mysql2 3.22 and mongoose 9.7 (pg 8 publishes on none).
 */
export interface KnownChannel {
  readonly name: string;
  readonly meaning: string;
  /** What its message has: `msg.request`. */
  readonly members: readonly string[];
}

function one(name: string, meaning: string, members = ""): KnownChannel {
  return { name, meaning, members: members.split(" ").filter((each) => each !== "") };
}

/** `a|b` in a name is a choice, and `$` in the meaning what was chosen. */
function each(form: string, meaning: string, members = ""): readonly KnownChannel[] {
  const choice = /\(([^)]*)\)/.exec(form);
  if (choice === null) return [one(form, meaning, members)];
  const [written, names = ""] = choice;
  return names
    .split("|")
    .map((name) => one(form.replace(written, name), meaning.replace("$", name), members));
}

/** The five channels of a `TracingChannel` (Node's docs: diagnostics_channel). */
function tracing(name: string, what: string, members = ""): readonly KnownChannel[] {
  const channel = `tracing:${name}`;
  return [
    one(`${channel}:start`, `${what} begins`, members),
    one(`${channel}:end`, `${what}: its function has returned`, `${members} result`),
    one(`${channel}:asyncStart`, `${what}: its result has come`, `${members} result error`),
    one(`${channel}:asyncEnd`, `${what}: whoever waited has run`, `${members} result error`),
    one(`${channel}:error`, `${what} has failed`, `${members} error`),
  ];
}

const NODE: readonly KnownChannel[] = [
  one("http.client.request.created", "node:http made a request of the application's", "request"),
  one("http.client.request.start", "its head is written", "request"),
  one("http.client.request.error", "it failed", "request error"),
  one("http.client.response.finish", "the head of its response has come", "request response"),
  one("http.server.request.start", "a request's head has been read", "request response socket"),
  one("http.server.response.created", "its response object is made", "request response"),
  one("http.server.response.finish", "its response has been handed over", "request response"),
  ...each("http2.client.stream.(created|start)", "an HTTP/2 request is $", "stream headers"),
  ...each("http2.client.stream.error", "it failed", "stream error"),
  ...each("http2.client.stream.finish", "the head of its response has come", "stream headers"),
  ...each("http2.client.stream.close", "it is closed", "stream"),
  ...each("http2.server.stream.(created|start)", "a stream of a client is $", "stream headers"),
  ...each("http2.server.stream.error", "it failed", "stream error"),
  ...each("http2.server.stream.finish", "its response's head is sent", "stream headers"),
  ...each("http2.server.stream.close", "it is closed", "stream"),
  one("net.client.socket", "the application opens a connection", "socket"),
  one("net.server.socket", "a server has accepted a socket", "socket"),
  one("udp.socket", "a UDP socket is made", "socket"),
  one("child_process", "a child process is started", "process"),
  one("worker_threads", "a thread is started", "worker"),
  one("process.execve", "the process becomes another program", "execPath args env"),
  ...each("console.(log|info|debug|error|warn)", "console.$ is called; msg[0] is what for"),
  ...each("locks.request.(start|grant|miss|end)", "Web Locks (24.19): $", "name mode"),
  ...tracing("net.server.listen", "a server listens", "server options"),
  ...tracing("module.require", "require()", "id parentFilename"),
  ...tracing("module.import", "import()", "url parentURL"),
  ...tracing("child_process.spawn", "spawn() (26)", "process options"),
];

const UNDICI: readonly KnownChannel[] = [
  one("undici:request:create", "fetch() or undici makes a request", "request"),
  one("undici:request:bodySent", "its body has been sent", "request"),
  one("undici:request:bodyChunkSent", "a part of its body has been sent", "request chunk"),
  one("undici:request:bodyChunkReceived", "a part of the response has come", "request chunk"),
  one("undici:request:headers", "the head of its response has come", "request response"),
  one("undici:request:trailers", "its response has ended", "request trailers"),
  one("undici:request:error", "it failed", "request error"),
  one("undici:request:pending-requests", "who waits for the same answer", "type size key"),
  one("undici:client:beforeConnect", "a connection is opened", "connectParams connector"),
  one("undici:client:connected", "it is open", "connectParams connector socket"),
  one("undici:client:connectError", "it cannot be opened", "connectParams connector error"),
  one("undici:client:sendHeaders", "a head is written to it", "request headers socket"),
  one("undici:proxy:connected", "a tunnel is open", "connectParams socket"),
  one("undici:websocket:open", "a WebSocket is open", "address protocol extensions websocket"),
  one("undici:websocket:close", "it is closed", "websocket code reason"),
  one("undici:websocket:socket_error", "it failed"),
  ...each("undici:websocket:(ping|pong)", "a $ has come", "payload websocket"),
];

const SQL = "query values database serverAddress serverPort";
const MONGOOSE = "operation collection database args serverAddress serverPort";
const SERVER = "serverAddress serverPort";

export const KNOWN_CHANNELS: readonly KnownChannel[] = [
  ...NODE,
  ...UNDICI,
  one("fastify.initialization", "an instance of fastify is made", "fastify"),
  ...tracing("fastify.request.handler", "a handler of fastify", "request reply route async"),
  ...tracing("ioredis:command", "a command to Redis", `command args database ${SERVER}`),
  ...tracing("ioredis:batch", "a transaction of ioredis (MULTI)", `batchMode batchSize ${SERVER}`),
  ...tracing("ioredis:connect", "a connection to Redis", `connectionEpoch ${SERVER}`),
  ...tracing("mysql2:query", "query() of mysql2", SQL),
  ...tracing("mysql2:execute", "execute() of mysql2", SQL),
  ...tracing("mysql2:connect", "a connection to MySQL", `database user ${SERVER}`),
  ...tracing("mysql2:pool:connect", "a connection from mysql2's pool", `database ${SERVER}`),
  ...[
    "query",
    "aggregate",
    "model:save",
    "model:insertMany",
    "model:bulkWrite",
    "cursor:next",
  ].flatMap((name) => tracing(`mongoose:${name}`, `${name} of mongoose`, MONGOOSE)),
];
