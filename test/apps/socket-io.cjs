"use strict";
const http = require("node:http");
const { Server } = require("socket.io");
const work = require("./shared/work.cjs");

const server = http.createServer((req, res) => res.end(work.pid));
const io = new Server(server);
io.on("connection", (socket) => {
  socket.emit("pid", work.pid);
  socket.on("echo", (value, reply) => reply(value));
});
server.listen(work.port, work.host);
