"use strict";
// Loops without an end, each in the handler of a request, and ways to be busy otherwise.
const http = require("node:http");
const { pbkdf2Sync } = require("node:crypto");

const shapes = {
  count() {
    let passes = 0;
    for (;;) passes++;
  },
  callback() {
    const list = [1, 2, 3];
    let sum = 0;
    for (;;) list.forEach((each) => (sum += each));
  },
  regex() {
    return /^(a+)+$/.test("a".repeat(60) + "b");
  },
  async resumed() {
    await null;
    let passes = 0;
    for (;;) passes++;
  },
  native() {
    return pbkdf2Sync("a", "b", 50_000_000, 64, "sha512");
  },
  /** Node waits in its exit for libuv's threads, and one of them for whoever writes there. */
  ending() {
    require("node:fs").readFile(process.env.NEVER_WRITTEN, () => undefined);
    process.exit(3);
  },
  linked() {
    const ring = {};
    ring.next = ring;
    for (let at = ring; at !== null; at = at.next);
  },
};

function order(req) {
  const password = "hunter2";
  const id = 7;
  const items = ["tea", "milk"];
  const name = req.url.slice(1).split("?")[0];
  return [shapes[name](), password, id, items];
}

async function outer(req) {
  await new Promise((resolve) => setImmediate(resolve));
  const { searchParams } = new URL(req.url, "http://test");
  inner(Number(searchParams.get("ms")), searchParams.get("until"));
}

/** At most so long, or until that file is there. */
function inner(ms, file) {
  const { existsSync } = require("node:fs");
  const until = performance.now() + ms;
  let passes = 0;
  while (performance.now() < until) {
    passes++;
    if (file !== null && passes % 10_000 === 0 && existsSync(file)) break;
  }
  return passes;
}

/** Until that file is there. */
function held(file) {
  const { existsSync } = require("node:fs");
  let passes = 0;
  while (passes % 10_000 !== 0 || !existsSync(file)) passes++;
}

let kept = [];

const server = http.createServer((req, res) => {
  if (req.url.startsWith("/waited")) {
    setTimeout(() => res.end("waited"), 1500);
    return;
  }
  if (req.url.startsWith("/awaiting")) {
    void (async function handler() {
      await outer(req);
      res.end("awaited");
    })();
    return;
  }
  if (req.url.startsWith("/held")) {
    held(new URL(req.url, "http://test").searchParams.get("until"));
    res.end("let go");
    return;
  }
  if (req.url.startsWith("/allocate")) {
    kept = Array.from({ length: 20_000 }, (_, id) => ({ id, text: `text ${id}` }));
    res.end(String(kept.length));
    return;
  }
  if (!(req.url.slice(1).split("?")[0] in shapes)) {
    res.end(String(process.pid));
    return;
  }
  try {
    const result = order(req);
    if (result[0] instanceof Promise) {
      result[0].catch((error) => fail(res, error));
      return;
    }
    res.end("done");
  } catch (error) {
    fail(res, error);
  }
});

function fail(res, error) {
  res.statusCode = 500;
  res.end(`handled ${error.code}`);
}

server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
