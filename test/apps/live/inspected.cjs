"use strict";
// A thread of the application's debugs its main thread, as error trackers do for local variables.
const http = require("node:http");
const { Worker } = require("node:worker_threads");

const tracker = new Worker(
  `
  const { Session } = require("node:inspector");
  const { parentPort } = require("node:worker_threads");
  const session = new Session();
  session.connectToMainThread();
  let pauses = 0;
  session.on("Debugger.paused", ({ params }) => {
    if (params.hitBreakpoints === undefined || params.hitBreakpoints.length === 0) return;
    pauses += 1;
    // what it looks at takes its time; only it may let the main thread go on
    setTimeout(() => session.post("Debugger.resume"), 900);
  });
  session.post("Debugger.enable", () => {
    session.post("Debugger.setBreakpointByUrl", { lineNumber: 34, urlRegex: "inspected.cjs" });
    parentPort.postMessage("ready");
  });
  parentPort.on("message", () => parentPort.postMessage({ pauses }));
  `,
  { eval: true },
);
let asked = null;
tracker.on("message", (message) => {
  if (message === "ready") server.listen(0, "127.0.0.1");
  else asked?.(message);
});

function stops(order) {
  const started = Date.now();
  return { order, stoodMs: Date.now() - started }; // line 35
}

const server = http.createServer(async (req, res) => {
  if (req.url === "/stops") return res.end(JSON.stringify(stops(7)));
  if (req.url === "/pauses") {
    const answer = new Promise((resolve) => (asked = resolve));
    tracker.postMessage("?");
    return res.end(JSON.stringify(await answer));
  }
  return res.end("ok");
});
