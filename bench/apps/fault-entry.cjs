"use strict";
/**
 * The entry file of the fault table: one of the applications of `test/apps`, and beside it what
 * makes a fault happen in one worker and no other, whoever passes requests on: an order in a file.
 *
 *   FAULTS_APP      the application
 *   FAULTS_FOLDER   holds `broken` (this version throws at start) and `order-<worker>` (a fault)
 */
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const path = require("node:path");
const { threadId } = require("node:worker_threads");

const ORDER_POLL_MS = 5;
/** As a service behind a load balancer sets it; Node's 5 s would end the idle connections. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const CLOSE_DEADLINE_MS = 2000;

const folder = process.env.FAULTS_FOLDER;
if (fs.existsSync(path.join(folder, "broken"))) throw new Error("this version is broken");

const worker = threadId === 0 ? `${process.pid}` : `${process.pid}.${threadId}`;
const order = path.join(folder, `order-${worker}`);
const { faults } = require("../../test/apps/shared/work.cjs");
setInterval(() => {
  if (!fs.existsSync(order)) return;
  const fault = fs.readFileSync(order, "utf8");
  fs.unlinkSync(order);
  faults[fault]();
}, ORDER_POLL_MS).unref();

const servers = new Set();
const listen = Reflect.get(net.Server.prototype, "listen");
http.Server.prototype.listen = function listenKept(...args) {
  this.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
  servers.add(this);
  return listen.apply(this, args);
};

if (process.env.CLOSE_ON_SIGTERM) {
  process.on("SIGTERM", () => {
    setTimeout(() => process.exit(), CLOSE_DEADLINE_MS);
    const closed = [...servers].map((server) => new Promise((resolve) => server.close(resolve)));
    void Promise.all(closed).then(() => process.exit());
  });
}

void import(process.env.FAULTS_APP);
