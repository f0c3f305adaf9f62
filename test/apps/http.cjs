"use strict";
const http = require("node:http");
const { pipeline, Readable } = require("node:stream");
const work = require("./shared/work.cjs");

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const routes = {
  "GET /": (req, res) => res.end(work.pid),
  "GET /slow": async (req, res, query) => res.end(await work.slow(query.get("ms"))),
  "POST /slow": async (req, res, query) => {
    work.record(req.headers["x-id"]);
    res.end(await work.slow(query.get("ms")));
  },
  "POST /json": async (req, res) => {
    const body = JSON.parse((await readAll(req)).toString());
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify(body));
  },
  "POST /echo": (req, res) => pipeline(req, res, () => {}),
  "GET /chunked": (req, res, query) => {
    pipeline(Readable.from(work.lines(query.get("n") ?? 10)), res, () => {});
  },
  "GET /big": (req, res, query) => res.end(work.bytes(query.get("bytes"))),
  "GET /sse": (req, res) => {
    res.setHeader("content-type", "text/event-stream");
    pipeline(Readable.from(work.events()), res, () => {});
  },
};
routes["PUT /slow"] = routes["POST /slow"];
for (const name of Object.keys(work.faults)) {
  routes[`GET /${name}`] = (req, res, query) => work.faults[name](query.get("ms") ?? undefined);
}

const server = http.createServer((req, res) => {
  const { pathname, searchParams } = new URL(req.url, "http://test");
  const route = routes[`${req.method === "HEAD" ? "GET" : req.method} ${pathname}`];
  if (route === undefined) {
    res.statusCode = 404;
    res.end("not found");
    return;
  }
  route(req, res, searchParams);
});
server.keepAliveTimeout = work.keepAliveTimeoutMs;
server.listen(work.port, work.host);
