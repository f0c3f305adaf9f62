"use strict";
/**
 * An application with children of its own: a forked process, a thread, and a program. Each tells
 * what it sees, and the first two serve a port of their own. Prints one JSON line, then ends.
 */
const { fork, execFileSync } = require("node:child_process");
const http = require("node:http");
const { Worker, isMainThread, parentPort } = require("node:worker_threads");
const { processFacts } = require("./shared/facts.cjs");

if (!isMainThread) serve((message) => parentPort.postMessage(message));
else if (process.argv[2] === "child") serve((message) => process.send(message));
else main();

function serve(tell) {
  const { stack, ...facts } = processFacts(module);
  const server = http.createServer((req, res) => res.end("mine"));
  server.listen(0, "127.0.0.1", () => tell({ facts, port: server.address().port }));
}

async function main() {
  const child = fork(__filename, ["child"]);
  const fromChild = await heard(child);
  // While a child lives, SIGCHLD is caught: the thread would see that, or not.
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill();
  await ended;
  const thread = new Worker(__filename);
  const fromThread = await heard(thread);
  await thread.terminate();
  const listed = execFileSync("ls", ["/proc/self/fd"]).toString().trim().split("\n").length;
  console.log(JSON.stringify({ child: fromChild, thread: fromThread, programDescriptors: listed }));
  process.disconnect?.();
}

async function heard(child) {
  const { facts, port } = await new Promise((resolve) => child.once("message", resolve));
  const text = await (await fetch(`http://127.0.0.1:${port}`)).text();
  return { facts, text };
}
