// What an application asks of others, with and without limits: prints what it saw as JSON.
import http from "node:http";
import { account, guardOutbound, inFlight, pool } from "holdfast/flow";

let now = 0;
let most = 0;
const upstream = http.createServer((request, response) => {
  now += 1;
  most = Math.max(most, now);
  setTimeout(() => {
    now -= 1;
    response.end(`${request.method} ${request.url}`);
  }, 30);
});
await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${upstream.address().port}`;

function byHttp(path) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}${path}`, { agent: new http.Agent() }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve(text));
    });
    request.on("error", reject);
    request.end();
  });
}

async function many(count, ask) {
  most = 0;
  const results = await Promise.allSettled(Array.from({ length: count }, ask));
  const failed = results.filter(({ status }) => status === "rejected");
  const reasons = failed.map(({ reason }) => (reason.cause ?? reason).code);
  return { most, ok: count - failed.length, reasons: [...new Set(reasons)] };
}

const fetched = async () => (await fetch(`${url}/fetch`)).text();
const seen = { version: process.version };
const limit = { kind: "fixed", max: 5 };
const guard = guardOutbound({ limit, queue: { max: 10 } });
seen.fetch = await many(40, fetched);
seen.http = await many(40, () => byHttp("/http"));
seen.both = [await byHttp("/both"), await fetched()];
seen.post = await (await fetch(url, { method: "POST", body: "x" })).text();
const controller = new AbortController();
const aborted = Array.from({ length: 12 }, () => fetch(url, { signal: controller.signal }));
await Promise.resolve();
seen.queued = guard.stats()[0].queued;
controller.abort();
seen.queuedAfterAbort = guard.stats()[0].queued;
await Promise.allSettled(aborted);
guard[Symbol.dispose]();
seen.without = await many(40, fetched);
seen.withoutHttp = await many(40, () => byHttp("/http"));
const orders = pool(url, { limit: { kind: "fixed", max: 3 } });
seen.pool = await many(20, async () => (await orders.fetch(`${url}/pool`)).text());
const big = "x".repeat(1_000_000);
upstream.removeAllListeners("request");
upstream.on("request", (request, response) => response.end(big));
seen.bytes = (await (await orders.fetch(url)).text()).length;
await orders.close();
seen.left = inFlight().length + account("http.out").inFlight;
upstream.close();
upstream.closeAllConnections();
process.stdout.write(JSON.stringify(seen));
