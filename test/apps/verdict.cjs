"use strict";
/**
 * An application whose requests stay in flight until their worker dies. Each execution is a line in
 * EXECUTED_FILE, "<x-id> <pid>"; the first of an id holds, later ones answer.
 *
 *   /           the pid
 *   /hold       answers with method, bytes of the body and the pid, when it is executed again
 *   /half       sends half of a response with chunks, and holds
 *   /length     sends half of a response with a content-length, and holds
 *   /first      answers at once, whatever the body
 *   /slow?ms=   waits, then the pid
 *   /death?ms=  kills its worker after that time, whenever it is executed
 *   /destroy    destroys the socket, and then, with ?kill, its worker, in the same turn
 *   /reset      resets the connection, likewise
 *   upgrade     says 101 and echoes
 */
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");

const file = process.env.EXECUTED_FILE;

/** Writes one execution down. True: it was the first of this id. */
function isFirst(id) {
  const before = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
  fs.appendFileSync(file, `${id} ${process.pid}\n`);
  return !before.split("\n").some((line) => line.startsWith(`${id} `));
}

function bytesOf(req) {
  return new Promise((resolve) => {
    let bytes = 0;
    req.on("data", (chunk) => (bytes += chunk.length));
    req.on("end", () => resolve(bytes));
  });
}

function die() {
  process.kill(process.pid, "SIGKILL");
}

const routes = {
  "/": (req, res) => res.end(String(process.pid)),
  "/first": (req, res) => res.end("first"),
  "/hold": async (req, res) => {
    const holds = isFirst(req.headers["x-id"]);
    const bytes = await bytesOf(req);
    if (!holds) res.end(`${req.method} ${bytes} ${process.pid}`);
  },
  "/half": (req, res) => {
    isFirst(req.headers["x-id"]);
    res.write("half");
  },
  "/length": (req, res) => {
    isFirst(req.headers["x-id"]);
    res.writeHead(200, { "content-length": 8 });
    res.write("half");
  },
  "/slow": (req, res, query) => setTimeout(() => res.end(String(process.pid)), query.get("ms")),
  "/death": (req, res, query) => {
    isFirst(req.headers["x-id"]);
    setTimeout(die, query.get("ms"));
  },
  "/destroy": (req, res, query) => {
    req.socket.destroy();
    if (query.has("kill")) die();
  },
  "/reset": (req, res, query) => {
    req.socket.resetAndDestroy();
    if (query.has("kill")) die();
  },
};

function serve(req, res) {
  const { pathname, searchParams } = new URL(req.url, "http://test");
  routes[pathname](req, res, searchParams);
}

const key = (name) => fs.readFileSync(path.join(__dirname, "shared", name));
const server =
  process.env.TLS === "1"
    ? https.createServer({ key: key("localhost.key"), cert: key("localhost.crt") }, serve)
    : http.createServer(serve);
server.keepAliveTimeout = 60_000;
server.on("upgrade", (req, socket) => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
  socket.pipe(socket);
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
