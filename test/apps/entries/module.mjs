import http from "node:http";

await null;
http.createServer((req, res) => res.end(`${process.pid}`)).listen(0, "127.0.0.1");
