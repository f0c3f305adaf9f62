"use strict";
/** Raw TCP: greets with its pid, then echoes bytes; ends when the client has ended. */
const net = require("node:net");

const server = net.createServer((socket) => {
  socket.write(`${process.pid}\n`);
  socket.pipe(socket);
  socket.on("error", () => {});
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
