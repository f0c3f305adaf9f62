"use strict";
/**
 * What the routes of the HTTP applications do, so that each application only says it in the words
 * of its framework. Nothing here knows of Holdfast.
 *
 *   GET  /            the pid
 *   GET  /slow?ms=    waits, then the pid
 *   POST /slow?ms=    appends "<x-id> <pid>" to EXECUTED_FILE, waits, then the pid; PUT too
 *   POST /json        the parsed body, back as JSON
 *   POST /echo        the body as it is (application/octet-stream)
 *   GET  /chunked?n=  n lines without a content-length
 *   GET  /big?bytes=  that many bytes
 *   GET  /sse         an event every 25 ms, until the client goes
 *   GET  /crash  /exit  /spin?ms=  /oom  /stop     what they say
 */
const fs = require("node:fs");
const { setTimeout: delay } = require("node:timers/promises");
const { threadId } = require("node:worker_threads");

exports.port = Number(process.env.PORT ?? 0);
exports.host = "127.0.0.1";
/** Long: an idle connection that ends during a test was ended by something else. */
exports.keepAliveTimeoutMs = 60_000;

const pid = threadId === 0 ? `${process.pid}` : `${process.pid}.${threadId}`;
exports.pid = pid;

exports.slow = async function slow(ms) {
  await delay(Number(ms ?? 100));
  return pid;
};

/** Writes down one execution, before anything of the response is written. */
exports.record = function record(id) {
  const file = process.env.EXECUTED_FILE;
  if (file) fs.appendFileSync(file, `${id ?? "?"} ${pid}\n`);
};

exports.lines = async function* lines(n) {
  for (let i = 0; i < Number(n ?? 10); i += 1) {
    yield `line ${i}\n`;
    await delay(1);
  }
};

exports.bytes = function bytes(n) {
  return Buffer.alloc(Number(n ?? 1024), "holdfast");
};

exports.events = async function* events() {
  for (let i = 0; ; i += 1) {
    yield `data: ${i} ${pid}\n\n`;
    await delay(25);
  }
};

/** Faults: each happens after the handler has returned, as a fault outside of its promise. */
exports.faults = {
  crash() {
    setImmediate(() => {
      throw new Error("crash as asked");
    });
  },
  exit() {
    setImmediate(() => process.exit(7));
  },
  spin(ms) {
    const end = ms === undefined ? Infinity : Date.now() + Number(ms);
    setImmediate(() => {
      while (Date.now() < end);
    });
  },
  oom() {
    const kept = [];
    setImmediate(() => {
      for (;;) kept.push(new Array(100_000).fill({}));
    });
  },
  stop() {
    process.kill(process.pid, "SIGSTOP");
  },
};
