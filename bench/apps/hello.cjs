"use strict";
const http = require("node:http");

const server = http.createServer((request, response) => response.end("hello world\n"));
// Connections that are held idle for a measurement are not to be ended by Node's 5 s.
server.keepAliveTimeout = 3_600_000;
server.listen(Number(process.env.PORT), "127.0.0.1");
