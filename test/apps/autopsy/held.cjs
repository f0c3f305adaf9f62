"use strict";
/** Objects that one part of V8 alone holds: the stack, queued microtasks, handles of Node. */
const fs = require("node:fs");
const net = require("node:net");
const vm = require("node:vm");
const { Worker } = require("node:worker_threads");

class OnStack {}
class Deeper {}
class Queued {}
class Awaited {}
class OfRequest {}
class OfTimer {}
class OfContext {}
class Dropped {}

const worker = `
class InWorker { constructor(id) { this.id = id; } }
const kept = Array.from({ length: 7 }, (_, id) => new InWorker(id));
require("node:worker_threads").parentPort.on("message", () => kept.length);
`;
const cell = new Int32Array(new SharedArrayBuffer(4));

function many(count, Constructor) {
  return Array.from({ length: count }, () => new Constructor());
}
function drop() {
  many(5_000, Dropped);
}
function deeper(count) {
  const own = many(3, Deeper);
  if (count > 0) return deeper(count - 1) + own.length;
  // from C++ again: a sort in between
  [2, 1].sort(() => {
    const local = many(11, OnStack);
    console.log("ready");
    Atomics.wait(cell, 0, 0);
    return local.length;
  });
  return own.length;
}
function ask(count) {
  const request = many(count, OfRequest);
  fs.open("/dev/null", "r", () => request.length);
}

new Worker(worker, { eval: true }).on("online", () => {
  drop();
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const timed = many(13, OfTimer);
    setTimeout(() => timed.length, 1_000_000);
    const context = vm.createContext({ held: many(9, OfContext) });
    vm.runInContext("setInterval = () => held", context);
    server.context = context;
    setTimeout(() => {
      ask(19);
      const queued = many(17, Queued);
      Promise.resolve().then(() => deeper(20));
      for (let id = 0; id < 40; id += 1) queueMicrotask(() => queued.length);
      (async () => {
        const awaited = many(5, Awaited);
        await null;
        return awaited;
      })();
    }, 20);
  });
});
