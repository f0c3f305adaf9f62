// What an application asks of others, with and without limits: prints what it saw as JSON.
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
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

function byHttp(path, signal) {
  return new Promise((resolve, reject) => {
    const options = { agent: new http.Agent(), signal };
    const request = http.request(`${url}${path}`, options, (response) => {
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
while (guard.stats()[0].inFlight > 0) await delay(5); // those that were being connected
const leaving = new AbortController();
const left = Array.from({ length: 12 }, () => byHttp("/left", leaving.signal));
seen.httpQueued = guard.stats()[0].queued;
leaving.abort();
seen.httpQueuedAfterAbort = guard.stats()[0].queued;
seen.httpAborted = [...new Set((await Promise.allSettled(left)).map((each) => each.reason.name))];
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

/** Who listens and accepts nobody: the third connection is not even made. */
const deaf = spawn(process.execPath, [
  "-e",
  `const server = net.createServer().listen(0, "127.0.0.1", 1, () => {
    fs.writeSync(1, String(server.address().port));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  })`,
]);
const port = Number(String((await once(deaf.stdout, "data"))[0]));
const full = [1, 2].map(() => net.connect(port, "127.0.0.1"));
await Promise.all(full.map((each) => once(each, "connect")));
const one = { limit: { kind: "fixed", max: 1 }, retry: false };
const nobody = pool(`http://127.0.0.1:${port}`, { ...one, connectMs: 60_000, totalMs: 0 });
const impatient = nobody.fetch("http://nobody/", { signal: AbortSignal.timeout(20) });
seen.impatient = await impatient.catch((error) => error.name);
const { inFlight: connecting } = nobody.stats().origins[0].gate;
seen.connecting = connecting;
await nobody.destroy();
if (process.argv.includes("connect")) {
  const other = pool(`http://127.0.0.1:${port}`, { ...one, connectMs: 100 });
  seen.notConnected = await other.fetch("http://nobody/").catch((error) => error.cause.code);
  await other.close();
}
full.forEach((each) => each.destroy());
deaf.kill("SIGKILL");
seen.left = inFlight().length + account("http.out").inFlight;
upstream.close();
upstream.closeAllConnections();
process.stdout.write(JSON.stringify(seen));
