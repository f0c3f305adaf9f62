"use strict";
const { channel } = require("node:diagnostics_channel");
const { existsSync } = require("node:fs");
const http = require("node:http");

function hidden(order, extra) {
  const total = order.price * 2;
  return total + extra.length;
}

http
  .createServer((req, res) => {
    const { pathname, searchParams } = new URL(req.url, "http://test");
    if (pathname === "/spin") {
      let count = 0;
      while (!existsSync(searchParams.get("until"))) count += hidden({ price: 1 }, "a");
      res.end(String(count > 0));
    } else if (pathname === "/listened") res.end(String(channel("holdfast:line").hasSubscribers));
    else res.end(String(hidden({ price: 21 }, "abc")));
  })
  .listen(0);
