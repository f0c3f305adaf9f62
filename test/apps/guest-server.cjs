"use strict";
/**
 * GET /facts: what a handler sees of its connection, its server and its process, as JSON;
 * everything else: "ok".
 */
const { AsyncLocalStorage, executionAsyncId } = require("node:async_hooks");
const http = require("node:http");
const net = require("node:net");

const storage = new AsyncLocalStorage();
let connections = 0;

const server = http.createServer((req, res) => {
  storage.run(req.url, async () => {
    await null;
    if (req.url !== "/facts") return void res.end("ok");
    const { socket } = req;
    const facts = {
      context: storage.getStore(),
      hasAsyncId: executionAsyncId() > 0,
      connections,
      socket: {
        keys: Reflect.ownKeys(socket).map(String).sort(),
        prototype: Object.getPrototypeOf(socket) === net.Socket.prototype,
        sameServer: socket.server === server,
        sameSocket: res.socket === socket,
        remoteAddress: socket.remoteAddress,
        remoteFamily: socket.remoteFamily,
        remotePort: typeof socket.remotePort,
        localAddress: socket.localAddress,
        address: { ...socket.address(), port: 0 },
        allowHalfOpen: socket.allowHalfOpen,
        timeout: socket.timeout,
        bytesRead: socket.bytesRead,
        bytesWritten: socket.bytesWritten,
        pending: socket.pending,
        connecting: socket.connecting,
        readyState: socket.readyState,
        highWaterMarks: [socket.readableHighWaterMark, socket.writableHighWaterMark],
        fd: typeof socket._handle.fd,
        chained: socket.setNoDelay(true).setKeepAlive(true, 1000) === socket,
        events: Object.fromEntries(
          socket.eventNames().map((name) => [String(name), socket.listenerCount(name)]),
        ),
      },
      server: {
        keys: Reflect.ownKeys(server).map(String).sort(),
        listening: server.listening,
        connections: server._connections,
        events: Object.fromEntries(
          server.eventNames().map((name) => [String(name), server.listenerCount(name)]),
        ),
      },
      headers: req.headers,
      rawHeaders: req.rawHeaders,
      resources: process.getActiveResourcesInfo().sort(),
      listeners: Object.fromEntries(
        process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
      ),
    };
    res.end(JSON.stringify(facts));
  });
});
server.on("connection", () => (connections += 1));
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(JSON.stringify({ port: server.address().port }));
});
