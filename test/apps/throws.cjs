"use strict";
/** Throws where no promise is: in a request handler (GET /throw), in a listener of `connection`. */
const http = require("node:http");

const server = http.createServer((request, response) => {
  if (request.url === "/throw") throw new Error("in the handler");
  response.end(String(process.pid));
});
if (process.env.THROWS === "connection") {
  server.on("connection", () => {
    throw new Error("in connection");
  });
  process.on("uncaughtException", ({ message }) => console.log(`caught: ${message}`));
}
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
