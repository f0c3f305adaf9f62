"use strict";
const express = require("express");
const { pipeline, Readable } = require("node:stream");
const work = require("./shared/work.cjs");

const app = express();
app.use(express.json());
app.get("/", (req, res) => res.type("text").send(work.pid));
app.get("/slow", async (req, res) => res.type("text").send(await work.slow(req.query.ms)));
const recorded = async (req, res) => {
  work.record(req.get("x-id"));
  res.type("text").send(await work.slow(req.query.ms));
};
app.post("/slow", recorded);
app.put("/slow", recorded);
app.post("/json", (req, res) => res.json(req.body));
app.post("/echo", (req, res) => pipeline(req, res, () => {}));
app.get("/chunked", (req, res) => {
  pipeline(Readable.from(work.lines(req.query.n)), res, () => {});
});
app.get("/big", (req, res) => res.send(work.bytes(req.query.bytes)));
app.get("/sse", (req, res) => {
  res.type("text/event-stream");
  pipeline(Readable.from(work.events()), res, () => {});
});
for (const [name, fault] of Object.entries(work.faults)) {
  app.get(`/${name}`, (req) => fault(req.query.ms));
}
const server = app.listen(work.port, work.host, (error) => {
  if (error) throw error;
});
server.keepAliveTimeout = work.keepAliveTimeoutMs;
