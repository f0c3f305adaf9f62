"use strict";
/** UDP echo: answers "<pid> <message>". EXCLUSIVE=1 asks for a socket of its own. */
const dgram = require("node:dgram");

const socket = dgram.createSocket("udp4");
socket.on("message", (message, { port, address }) => {
  socket.send(`${process.pid} ${message}`, port, address);
});
socket.on("error", ({ code }) => console.log(JSON.stringify({ pid: process.pid, error: code })));
socket.bind(
  {
    port: Number(process.env.PORT ?? 0),
    address: "127.0.0.1",
    exclusive: process.env.EXCLUSIVE === "1",
  },
  () => {
    console.log(JSON.stringify({ pid: process.pid, address: socket.address() }));
    // nobody can tell an exclusive UDP socket of a server from one that only sends
    if (process.env.EXCLUSIVE === "1") process.send?.("ready");
  },
);
