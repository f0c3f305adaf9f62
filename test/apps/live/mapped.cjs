"use strict";
// As a compiler leaves it: each line is 99 lines further down in price.ts.
const http = require("node:http");

function price(until) {
  const { existsSync } = require("node:fs");
  let passes = 1;
  while (passes % 10_000 !== 0 || !existsSync(until)) passes++;
  return passes;
}

const server = http
  .createServer((req, res) => res.end(String(price(req.url))))
  .listen(0, "127.0.0.1", () => console.log(server.address().port));
//# sourceMappingURL=mapped.cjs.map
