"use strict";
/** Plain node:http with short timeouts for heads and bodies; everything it sends is constant. */
const http = require("node:http");

const server = http.createServer({ connectionsCheckingInterval: 100 }, (req, res) => {
  req.on("error", () => {});
  if (req.url === "/slow") setTimeout(() => res.end("slow"), 300);
  else if (req.url === "/echo") req.pipe(res);
  else res.end("fine");
});
server.headersTimeout = 1_500;
server.requestTimeout = 2_000;
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(JSON.stringify({ port: server.address().port }));
});
