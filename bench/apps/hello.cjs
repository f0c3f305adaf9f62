"use strict";
const http = require("node:http");

http
  .createServer((request, response) => response.end("hello world\n"))
  .listen(Number(process.env.PORT), "127.0.0.1");
