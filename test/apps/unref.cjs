"use strict";
/** A server that keeps no process alive: ends when the timer has fired. MODE=ref keeps it. */
const http = require("node:http");

const server = http.createServer((req, res) => res.end(String(process.pid)));
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  server.unref();
  if (process.env.MODE === "ref") server.ref();
  setTimeout(() => console.log(`timer ${process.pid}`), 50);
});
process.on("exit", (code) => console.log(`exit ${process.pid} ${code}`));
