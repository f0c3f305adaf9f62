// 5 ms of waiting and 4 ms in which the event loop is blocked: some 245 requests a second
const http = require("node:http");
const { wire } = require("./work.cjs");

const IN_FLIGHT_MAX = 8;
const isCounting = process.env.SHED === "counter";
let inFlight = 0;

const server = http.createServer((request, response) => {
  if (isCounting && inFlight >= IN_FLIGHT_MAX) {
    response.writeHead(503, { "Retry-After": "1", "Content-Length": "9" }).end("too much\n");
    return;
  }
  inFlight += 1;
  response.once("close", () => (inFlight -= 1));
  wire(() => response.end("done"));
});
// longer than any pause between two requests of a pool
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT), "127.0.0.1");
