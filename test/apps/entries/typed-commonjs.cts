const http: typeof import("node:http") = require("node:http");

const port: number = 0;
http.createServer((req, res) => res.end(`${process.pid}`)).listen(port, "127.0.0.1");
