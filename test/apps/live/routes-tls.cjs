"use strict";
// Servers whose connections are opaque: https, and http on a unix path.
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");

const shared = path.join(__dirname, "../shared");
const key = fs.readFileSync(path.join(shared, "localhost.key"));
const cert = fs.readFileSync(path.join(shared, "localhost.crt"));
https.createServer({ key, cert }, (_req, res) => res.end("secret")).listen(0, "127.0.0.1");
http.createServer((_req, res) => res.end("local")).listen(process.env.SOCKET);
http.createServer((_req, res) => res.end("plain")).listen(0, "127.0.0.1");
