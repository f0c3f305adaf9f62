"use strict";
const http = require("node:http");
const { WebSocketServer } = require("ws");
const work = require("./shared/work.cjs");

const server = http.createServer((req, res) => res.end(work.pid));
const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket) => {
  socket.send(`pid ${work.pid}`);
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on("error", () => {});
});
server.listen(work.port, work.host);
