"use strict";
// Spins without a local variable, entered in different ways.
const { AsyncLocalStorage } = require("node:async_hooks");
const http = require("node:http");

const storage = new AsyncLocalStorage();
const spin = () => {
  for (;;);
};
const WAYS = {
  "/sync": spin,
  "/sync-als": () => storage.run(1, spin),
  "/timer": () => void setTimeout(spin, 1),
  "/promise": () => void Promise.resolve().then(spin),
};

const server = http
  .createServer((req, res) => {
    if (req.url === "/others") return void setTimeout(() => res.end("other"), 1500);
    const way = WAYS[req.url];
    if (way === undefined) return res.end("next");
    return way();
  })
  .listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
