"use strict";
/** Listens on PORT; with HANDLE=1 it handles the error itself and stays. */
const http = require("node:http");

const server = http.createServer((req, res) => res.end(String(process.pid)));
if (process.env.HANDLE === "1") {
  server.on("error", ({ code, syscall, address, port }) => {
    console.log(JSON.stringify({ code, syscall, address, port: Number(port) }));
    process.exit(9);
  });
}
server.listen(Number(process.env.PORT), "127.0.0.1");
