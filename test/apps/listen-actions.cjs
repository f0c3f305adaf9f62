"use strict";
/**
 * Servers that do something with themselves when they are asked to.
 *
 *   GET /             the pid
 *   GET /close        closes this worker's server after the answer
 *   GET /relisten     closes it and listens again on the same port
 *   GET /count        what getConnections() says
 *   GET /held         never answers
 * MAX_CONNECTIONS sets maxConnections. What happens is written as JSON lines.
 */
const http = require("node:http");

const say = (event, fields) => console.log(JSON.stringify({ pid: process.pid, event, ...fields }));

const server = http.createServer((req, res) => {
  switch (req.url) {
    case "/close":
      res.setHeader("connection", "close");
      res.end("closing", () => close(() => {}));
      return;
    case "/relisten":
      res.setHeader("connection", "close");
      res.end("listening again", relisten);
      return;
    case "/count":
      server.getConnections((error, count) => res.end(String(error ?? count)));
      return;
    case "/held":
      say("held");
      return;
    default:
      res.end(String(process.pid));
  }
});
if (process.env.MAX_CONNECTIONS) server.maxConnections = Number(process.env.MAX_CONNECTIONS);
server.on("listening", () => say("listening", { address: server.address() }));
server.on("close", () => say("close", { address: server.address() }));
server.on("drop", () => say("drop"));
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");

function close(then) {
  server.close((error) => {
    say("closed", { error: error?.code, listening: server.listening });
    then();
  });
}

function relisten() {
  const { port } = server.address();
  close(() => server.listen(port, "127.0.0.1"));
}

// Something else keeps the process: closing the server must not end the worker.
setInterval(() => {}, 1000);
