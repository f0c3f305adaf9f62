// /slow asks the upstream, /fast does not, /memory says what this process holds.
import http from "node:http";
import { pool } from "holdfast/flow";

const upstream = process.env.UPSTREAM;
const client = process.env.CLIENT === "pool" ? pool(upstream, { totalMs: 1000 }) : null;

http
  .createServer(async (request, response) => {
    if (request.url === "/slow") {
      try {
        const answer = await (client === null ? fetch(upstream) : client.fetch(upstream));
        response.end(await answer.text());
      } catch (error) {
        const cause = error.cause ?? error;
        response.writeHead(cause.code === "ERR_HOLDFAST_OVERLOADED" ? 503 : 502).end(String(cause));
      }
    } else if (request.url === "/memory") {
      globalThis.gc(); // what is left is held
      response.end(String(process.memoryUsage().heapUsed));
    } else response.end("fast");
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
