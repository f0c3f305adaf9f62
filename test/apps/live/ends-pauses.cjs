"use strict";
// A thread of the application's debugs its main thread, and ends every pause that it does not know,
// as the debugger of dd-trace does, and that of Sentry.
const http = require("node:http");
const { Worker } = require("node:worker_threads");

const tool = new Worker(
  `
  const { Session } = require("node:inspector");
  const { parentPort } = require("node:worker_threads");
  const session = new Session();
  session.connectToMainThread();
  let ended = 0;
  session.on("Debugger.paused", () => {
    session.post("Debugger.resume", () => (ended += 1));
  });
  session.post("Debugger.enable", () => parentPort.postMessage("ready"));
  parentPort.on("message", () => parentPort.postMessage({ ended }));
  `,
  { eval: true },
);
let asked = null;
tool.on("message", (message) => {
  if (message === "ready") server.listen(0, "127.0.0.1");
  else asked?.(message);
});

function spins() {
  let passes = 0;
  for (;;) passes += 1;
}

function linked() {
  const ring = {};
  ring.next = ring;
  for (let at = ring; at !== null; at = at.next);
}

const server = http.createServer(async (req, res) => {
  if (req.url === "/spins" || req.url === "/linked") {
    try {
      if (req.url === "/spins") spins();
      else linked();
    } catch (error) {
      res.statusCode = 500;
      res.end(error.code);
    }
    return;
  }
  const answer = new Promise((resolve) => (asked = resolve));
  tool.postMessage("?");
  return res.end(JSON.stringify(await answer));
});
exports.spins = spins;
