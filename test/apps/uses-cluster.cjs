"use strict";
/** The usual way to use node:cluster: the primary forks, the workers serve. */
const cluster = require("node:cluster");
const http = require("node:http");

if (cluster.isPrimary) {
  console.log(`primary ${process.pid}`);
  for (let i = 0; i < 2; i += 1) cluster.fork();
  cluster.on("exit", (worker) => console.log(`worker ${worker.process.pid} ended`));
} else {
  http
    .createServer((req, res) => {
      res.end(JSON.stringify({ pid: process.pid, id: cluster.worker.id, ...about() }));
    })
    .listen(Number(process.env.PORT ?? 0), "127.0.0.1");
}

function about() {
  const { worker } = cluster;
  return {
    isWorker: cluster.isWorker,
    samePid: worker.process.pid === process.pid,
    dead: worker.isDead(),
    connected: worker.isConnected(),
    exited: worker.exitedAfterDisconnect ?? null,
    emitter: typeof worker.on,
  };
}
