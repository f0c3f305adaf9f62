"use strict";
/** Survives its own exceptions. */
const http = require("node:http");

process.on("uncaughtException", (error, origin) =>
  console.log(`caught ${error.message} ${origin}`),
);
process.on("unhandledRejection", (error) => console.log(`unhandled ${error.message}`));
http
  .createServer((req, res) => {
    res.end(String(process.pid));
    if (req.url === "/throw") {
      setImmediate(() => {
        throw new Error("thrown");
      });
    }
    if (req.url === "/reject") Promise.reject(new Error("rejected"));
  })
  .listen(Number(process.env.PORT ?? 0), "127.0.0.1");
