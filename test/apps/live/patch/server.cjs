"use strict";
// Modules of three kinds; /: what their functions answer, closures that live since the start too.
const http = require("node:http");
const { price, Shop, makeCounter, slow, spin } = require("./price.cjs");

const bound = require("./bound.cjs");
const { label } = bound;
const store = new bound.Store();
const counter = makeCounter();
const waiting = Promise.withResolvers();

async function main() {
  const { tax } = await import("./tax.mjs");
  const { discount } = await import("./discount.ts");
  for (let n = 0; n < 100_000; n += 1) price(n) + tax(n); // optimised code
  const server = http.createServer(async (req, res) => {
    const { pathname, searchParams } = new URL(req.url, "http://test");
    if (pathname === "/slow") res.end(await slow(waiting.promise));
    else if (pathname === "/waits") res.end(await bound.waits(waiting.promise));
    else if (pathname === "/bound") {
      const answers = [bound.label(1), label(1), store.get(1), bound.counted()];
      res.end(JSON.stringify(answers));
    } else if (pathname === "/release") {
      waiting.resolve();
      res.end("released");
    } else if (pathname === "/spin") res.end(spin(searchParams.get("until")));
    else {
      const answers = [price(10), new Shop().sell(1), counter.next(), tax(1), discount({ total: 9 })];
      res.end(JSON.stringify(answers));
    }
  });
  server.listen(0);
}

void main();
