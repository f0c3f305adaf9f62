"use strict";
const Koa = require("koa");
const { Readable } = require("node:stream");
const work = require("./shared/work.cjs");

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const recorded = async (ctx) => {
  work.record(ctx.get("x-id"));
  ctx.body = await work.slow(ctx.query.ms);
};
const routes = {
  "GET /": (ctx) => (ctx.body = work.pid),
  "GET /slow": async (ctx) => (ctx.body = await work.slow(ctx.query.ms)),
  "POST /slow": recorded,
  "PUT /slow": recorded,
  "POST /json": async (ctx) => (ctx.body = JSON.parse(await readAll(ctx.req))),
  "POST /echo": (ctx) => (ctx.body = ctx.req),
  "GET /chunked": (ctx) => (ctx.body = Readable.from(work.lines(ctx.query.n))),
  "GET /big": (ctx) => (ctx.body = work.bytes(ctx.query.bytes)),
  "GET /sse": (ctx) => {
    ctx.type = "text/event-stream";
    ctx.body = Readable.from(work.events());
  },
};
for (const [name, fault] of Object.entries(work.faults)) {
  routes[`GET /${name}`] = (ctx) => {
    ctx.respond = false;
    fault(ctx.query.ms);
  };
}

const app = new Koa();
app.use(async (ctx) => {
  await routes[`${ctx.method === "HEAD" ? "GET" : ctx.method} ${ctx.path}`]?.(ctx);
});
app.listen(work.port, work.host).keepAliveTimeout = work.keepAliveTimeoutMs;
