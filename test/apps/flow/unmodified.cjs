// Knows nothing of Holdfast: asks others, pipes, waits.
const { createReadStream } = require("node:fs");
const http = require("node:http");
const http2 = require("node:http2");
const os = require("node:os");
const path = require("node:path");
const { pipeline } = require("node:stream");
const { Pool } = require("undici");

const held = new Set();
let listening;
const isListening = new Promise((resolve) => (listening = resolve));
let pipeEnd = null;
let own = null;
const upstream = http.createServer((request, response) => {
  if (request.url.startsWith("/held")) held.add(response);
  else response.end("told");
});

function byHttp(path) {
  return new Promise((resolve, reject) => {
    const { port } = upstream.address();
    const request = http.get({ port, host: "127.0.0.1", path }, (response) => {
      response.resume().on("end", () => resolve("http"));
    });
    request.on("error", reject);
  });
}

async function byFetch(path) {
  return (await fetch(`http://127.0.0.1:${upstream.address().port}${path}`)).text();
}

/** By a copy of undici of the application's own. */
async function byUndici(path) {
  own ??= new Pool(`http://127.0.0.1:${upstream.address().port}`, { connections: 1 });
  const { body } = await own.request({ path, method: "GET" });
  return body.text();
}

function byPath() {
  return new Promise((resolve, reject) => {
    const request = http.get({ socketPath, path: "/local/17", agent: false }, (response) => {
      response.resume().on("end", () => resolve("local"));
    });
    request.on("error", reject);
  });
}

/** One stream of http2. */
function byHttp2() {
  const session = http2.connect(`http://127.0.0.1:${streams.address().port}`);
  const request = session.request({ ":path": "/stream/17" });
  return new Promise((resolve, reject) => {
    request.on("error", reject);
    request.resume().on("end", () => {
      session.close();
      resolve("streamed");
    });
  });
}

const routes = {
  "/h2": byHttp2,
  "/path": byPath,
  "/undici": () => byUndici("/held"),
  "/http": () => byHttp("/held"),
  "/told": () => byHttp("/told"),
  "/fetch": () => byFetch("/held"),
  "/release": () => {
    for (const response of held) response.end("released");
    held.clear();
  },
  "/spin": (url) => {
    const end = performance.now() + Number(url.searchParams.get("ms"));
    while (performance.now() < end);
  },
  "/pipe-end": () => String(pipeEnd),
};

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/zeros") {
    pipeline(createReadStream("/dev/zero"), response, (error) => (pipeEnd = error?.code));
    return;
  }
  try {
    if (url.pathname !== "/spin") await isListening;
    response.end((await routes[url.pathname](url)) ?? "done");
  } catch (error) {
    response.statusCode = 504;
    response.end(`${error.name} ${error.code ?? error.cause?.code}`);
  }
});
/** Its connections are not accounted for: it listens on a path. */
const local = http.createServer((request, response) => held.add(response));
const streams = http2.createServer((request, response) =>
  byHttp("/held").then(() => response.end()),
);
const socketPath = path.join(os.tmpdir(), `holdfast-unmodified-${process.pid}`);
server.listen(0, "127.0.0.1", () => {
  local.listen(socketPath, () => {
    streams.listen(0, "127.0.0.1", () => upstream.listen(0, "127.0.0.1", listening));
  });
});
