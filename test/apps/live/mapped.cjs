"use strict";
// As a compiler leaves it: each line is 99 lines further down in price.ts.
const http = require("node:http");

function price(ms) {
  const until = performance.now() + ms;
  let passes = 0;
  while (performance.now() < until) passes++;
  return passes;
}

const server = http
  .createServer((req, res) => res.end(String(price(1500))))
  .listen(0, "127.0.0.1", () => console.log(server.address().port));
//# sourceMappingURL=mapped.cjs.map
