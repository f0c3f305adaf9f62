"use strict";
/** TLS ends inside the application: PROTOCOL is https (default), tls (echo) or http2. */
const fs = require("node:fs");
const http2 = require("node:http2");
const https = require("node:https");
const path = require("node:path");
const tls = require("node:tls");
const { Readable } = require("node:stream");
const work = require("./shared/work.cjs");

const options = {
  key: fs.readFileSync(path.join(__dirname, "shared/localhost.key")),
  cert: fs.readFileSync(path.join(__dirname, "shared/localhost.crt")),
};

function answer(req, res) {
  if (req.url === "/sse") {
    Readable.from(work.events())
      .on("error", () => {})
      .pipe(res);
    return;
  }
  res.setHeader("x-resumed", String(req.socket.isSessionReused?.() ?? false));
  req.pipe(res);
  if (req.method === "GET") res.write(work.pid);
}

const servers = {
  https: () => https.createServer(options, answer),
  http2: () => http2.createSecureServer(options, answer),
  tls: () =>
    tls.createServer(options, (socket) => {
      socket.write(`${process.pid}\n`);
      socket.pipe(socket);
      socket.on("error", () => {});
    }),
};
servers[process.env.PROTOCOL ?? "https"]().listen(work.port, work.host);
