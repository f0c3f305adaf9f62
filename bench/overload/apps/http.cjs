// 5 ms of waiting and 4 ms in which the event loop is blocked: some 245 requests a second
const http = require("node:http");
const { wire } = require("./work.cjs");

const server = http.createServer((request, response) => {
  wire(() => response.end("done"));
});
server.listen(Number(process.env.PORT), "127.0.0.1");
