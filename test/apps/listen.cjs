"use strict";
/**
 * Listens as its arguments say: each is a JSON array, the arguments of one `server.listen`.
 * Writes a JSON line for each server: {pid, index, address} or {pid, index, error}.
 * Each server answers with "<index> <pid>".
 */
const http = require("node:http");

const say = (fields) => console.log(JSON.stringify({ pid: process.pid, ...fields }));

process.argv.slice(2).forEach((text, index) => {
  const server = http.createServer((req, res) => res.end(`${index} ${process.pid}`));
  server.on("error", ({ code, address, port }) => say({ index, error: { code, address, port } }));
  const returned = server.listen(...JSON.parse(text), () => {
    say({ index, address: server.address(), listening: server.listening });
  });
  say({ index, returnsItself: returned === server, early: server.address() });
});
