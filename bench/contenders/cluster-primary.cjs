"use strict";
/**
 * The usual recipe for node:cluster: fork a worker for each place, fork again when one exits, and
 * on a reload fork the new ones, wait until they listen, then disconnect the old ones.
 */
const cluster = require("node:cluster");

const { exec, execArgv, workers } = JSON.parse(process.argv[2]);
cluster.setupPrimary({ exec, execArgv });

let isStopping = false;
let isReloading = false;
for (let i = 0; i < workers; i += 1) cluster.fork();

cluster.on("exit", (worker) => {
  if (!isStopping && !isReloading && !worker.exitedAfterDisconnect) cluster.fork();
});

/** Resolves with true when it listens, false when it exits before that. */
function listens(worker) {
  return new Promise((resolve) => {
    worker.once("listening", () => resolve(true));
    worker.once("exit", () => resolve(false));
  });
}

async function reload() {
  isReloading = true;
  const old = Object.values(cluster.workers);
  const fresh = old.map(() => cluster.fork());
  const ok = !(await Promise.all(fresh.map(listens))).includes(false);
  for (const worker of ok ? old : fresh) if (worker.isConnected()) worker.disconnect();
  isReloading = false;
  process.send({ ok, output: ok ? "" : "a new worker exited before it listened" });
}

process.on("message", (message) => {
  if (message === "reload") void reload();
});
process.on("disconnect", () => stop());
process.on("SIGTERM", () => stop());

function stop() {
  isStopping = true;
  for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
  process.exit();
}
