// Work of several kinds, accounted for with the library, and how often the application was entered.
const http = require("node:http");
const { setTimeout: delay } = require("node:timers/promises");
const { account, deadline, inFlight } = require("holdfast/flow");

const queries = account("sql");
const cell = new Int32Array(new SharedArrayBuffer(4));
const counts = { entered: 0, aborted: 0 };
let port = 0;

/** What the other side of an outbound request is told of the deadline. */
async function forwarded() {
  const byFetch = await (await fetch(`http://127.0.0.1:${port}/echo`)).text();
  const byHttp = await new Promise((resolve, reject) => {
    http
      .get({ port, host: "127.0.0.1", path: "/echo" }, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve(text));
      })
      .on("error", reject);
  });
  return { byFetch, byHttp };
}

const routes = {
  "/echo": (request) => String(request.headers["x-request-deadline-ms"]),
  "/counts": () => counts,
  "/healthz": () => "well",
  "/wait": async (request, query) => {
    counts.entered += 1;
    const current = deadline.current();
    current?.onAbort(() => (counts.aborted += 1));
    await queries.run("orders by customer", () => delay(Number(query.get("ms"))));
    return "waited";
  },
  "/block": (request, query) => {
    counts.entered += 1;
    Atomics.wait(cell, 0, 0, Number(query.get("ms")));
    return "blocked";
  },
  "/die": (request, query) =>
    new Promise(() => setTimeout(() => process.kill(process.pid, "SIGKILL"), query.get("ms"))),
  "/afterwards": (request, query) => {
    void queries.run("mail", () => delay(Number(query.get("ms"))));
    return "begun";
  },
  "/inside": () => queries.run("orders by customer", () => ({ inFlight: inFlight() })),
  "/deadline": async () => ({ leftMs: deadline.current()?.remainingMs(), ...(await forwarded()) }),
};

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  const result = await routes[url.pathname](request, url.searchParams);
  response.end(typeof result === "string" ? result : JSON.stringify(result));
});
server.listen(0, "127.0.0.1", () => (port = server.address().port));
