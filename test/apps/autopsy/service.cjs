"use strict";
/** A service with outstanding work, and what it knows of it: written to the file that is named. */
const dgram = require("node:dgram");
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const path = require("node:path");

const HELD = 25;
/** Whose body does not end; what `fetch` asks for. */
const UPLOAD = "/orders/23";
const FETCHED = "/fetched";
const [, , file] = process.argv;
const socketPath = `${file}.socket`;
const held = [];
let release;
let isFirst = true;

function backend() {
  // held, or the collector would take those who wait for what can never come
  if (!isFirst) return new Promise((resolve) => held.push(resolve));
  isFirst = false;
  return failing(new Promise((resolve) => (release = resolve)));
}
async function failing(gate) {
  await gate;
  throw new Error("first");
}
async function answerRequest(request, response) {
  const answer = await backend(request.url);
  response.end(answer);
}
function onTick() {
  return "tick";
}
function onDue() {
  return "due";
}

/** Where V8 itself says that the handler waits: of the first one, which fails. */
function placeOf(error) {
  const [, line, column] = /at async answerRequest \(.*:(\d+):(\d+)\)/.exec(error.stack);
  return { line: Number(line), column: Number(column) };
}

/** On the clock of the machine: before it was asked for, and when it was seen. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}

const truth = { requests: [], connections: [], times: {} };
const server = http.createServer((request, response) => {
  const times = truth.times[`${request.method} ${request.url}`];
  if (times !== undefined) times.seenMs = now();
  if (request.url === FETCHED) {
    held.push(response);
    writeWhenAll();
    return;
  }
  if (isFirst) {
    answerRequest(request, response).catch((error) => {
      truth.place = placeOf(error);
      response.end();
      ask();
    });
    release();
    return;
  }
  truth.requests.push(`${request.method} ${request.url}`);
  void answerRequest(request, response);
  writeWhenAll();
});
function writeWhenAll() {
  if (Object.values(truth.times).every(({ seenMs }) => seenMs !== undefined)) write();
}

function send(method, target) {
  const { address, port } = server.address();
  if (target !== "/first") truth.times[`${method} ${target}`] = { sentMs: now() };
  const request = http
    .request({ host: address, port, method, path: target, agent: false })
    .on("socket", (socket) =>
      socket.on("connect", () => {
        // it asks for its own address only: of the peer of a server nobody has asked
        const ends = [`${socket.localAddress}:${socket.localPort}`, `${address}:${port}`];
        if (target !== "/first")
          truth.connections.push(ends.join(" -> "), ends.toReversed().join(" -> "));
      }),
    )
    .on("response", (response) => response.resume());
  if (target === UPLOAD) request.write("half of it");
  else request.end();
}
function ask() {
  for (let id = 0; id < HELD; id += 1) send(id % 2 === 0 ? "GET" : "POST", `/orders/${id}`);
  const { address, port } = server.address();
  truth.times[`GET ${FETCHED}`] = { sentMs: now() };
  held.push(fetch(`http://${address}:${port}${FETCHED}`));
}
function write() {
  const counts = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  fs.writeFileSync(
    `${file}.partial`,
    JSON.stringify({
      ...truth,
      ...server.address(),
      chosenPort: chosen.address().port,
      udp: `${host}:${udp.address().port}`,
      watched: path.dirname(file),
      socketPath,
      counts,
    }),
  );
  fs.renameSync(`${file}.partial`, file);
}

setInterval(onTick, 1_000_000);
setTimeout(onDue, 2_000_000);
clearTimeout(setTimeout(onDue, 3_000_000));
void (async function sleeper() {
  await new Promise((resolve) => setTimeout(resolve, 4_000_000));
})();
// all of 127.0.0.0/8 is this machine: the address is this process's alone
const { pid } = process;
const host = `127.${1 + (pid & 127)}.${(pid >> 7) & 255}.${1 + ((pid >> 15) & 127)}`;
net.createServer().listen(socketPath);
const chosen = net.createServer().listen(0, host);
const udp = dgram.createSocket("udp4").bind(0, host);
fs.watch(path.dirname(file));
server.listen(18_080, host, () => send("GET", "/first"));
