"use strict";
/** Ends in good order on SIGTERM: closes the server, then cleans up for a while. */
const http = require("node:http");

const server = http.createServer((req, res) => {
  setTimeout(() => res.end(String(process.pid)), Number(process.env.DELAY_MS ?? 0));
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
process.on("SIGTERM", (signal, number) => {
  console.log(`signal ${process.pid} ${signal} ${number}`);
  server.close(() => {
    setTimeout(() => {
      console.log(`clean ${process.pid}`);
      process.exit(0);
    }, 100);
  });
});
