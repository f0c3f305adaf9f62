"use strict";
const http = require("node:http");

http.createServer((req, res) => res.end(`${process.pid}`)).listen(0, "127.0.0.1");
