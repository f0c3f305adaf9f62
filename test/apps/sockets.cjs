"use strict";
/** Each path does to its connection what it is named after; timeouts are short. */
const http = require("node:http");

const actions = {
  "/": (req, res) => res.end(String(process.pid)),
  "/destroy": (req) => req.socket.destroy(),
  "/destroy-half": (req, res) => {
    res.setHeader("content-length", "100");
    res.write("half", () => req.socket.destroy());
  },
  "/destroy-spin": (req) => {
    req.socket.destroy();
    const end = Date.now() + 3_500;
    while (Date.now() < end);
  },
  "/spin": (req, res) => {
    // longer than keepAliveTimeout and what Node adds to it
    const end = Date.now() + 1_700;
    res.end("spins", () => {
      while (Date.now() < end);
    });
  },
  "/destroy-die": (req) => {
    req.socket.destroy();
    process.kill(process.pid, "SIGKILL");
  },
  "/reset": (req) => req.socket.resetAndDestroy(),
  "/end": (req, res) => {
    res.setHeader("connection", "close");
    res.end(String(process.pid));
  },
  "/end-socket": (req) => req.socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
  "/timeout": (req) => req.socket.setTimeout(50, () => req.socket.destroy()),
  "/spawn": (req, res) => {
    // A child that lives on must not inherit the connection.
    const { spawn } = require("node:child_process");
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    res.setHeader("connection", "close");
    res.end(String(child.pid));
  },
};
const options = { connectionsCheckingInterval: 100 };
const server = http.createServer(options, (req, res) => actions[req.url](req, res));
server.keepAliveTimeout = 300;
server.headersTimeout = 400;
server.requestTimeout = 600;
server.on("clientError", (error, socket) => {
  console.log(`clientError ${error.code}`);
  if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
