// Two lines set the same timer: which of them is it that fails?
const fs = require("node:fs");
const http = require("node:http");
const timers = require("node:timers");

function fail() {
  throw new Error("it fails");
}

function a() {
  setTimeout(fail, 1); // line a
}
function b() {
  setTimeout(fail, 1); // line b
}
const WAYS = {
  a,
  b,
  interval: () => timers.setInterval(fail, 1),
  immediate: () => setImmediate(fail),
  tick: () => process.nextTick(fail),
  microtask: () => queueMicrotask(fail),
  stat: () => fs.stat(__filename, fail),
  readFile: () => fs.readFile(__filename, fail),
  stream: () => fs.createReadStream(__filename).on("data", fail),
};

http
  .createServer((req, res) => {
    const way = req.url.slice(1);
    res.end(`${process.pid}`, () => WAYS[way]?.());
  })
  .listen(0);
// as a service that stays after an error does
if (process.env.STAYS === "1") process.on("uncaughtException", () => console.error("survived"));
