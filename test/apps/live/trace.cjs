// Routes that a trace can see, and one that tells whether the process is as it was at the start.
const dc = require("node:diagnostics_channel");
const dns = require("node:dns");
const { EventEmitter } = require("node:events");
const fs = require("node:fs");
const http = require("node:http");
const { Duplex, Readable, Writable } = require("node:stream");
const timers = require("node:timers");
const { probe } = require("holdfast/trace");
const db = require("./trace-db.cjs");

const placed = probe("order:placed", { meaning: "an order was paid", args: ["id", "total"] });

const PLACES = { global: globalThis, fs, promises: fs.promises, dns, timers, JSON, db, http };
const PROTOTYPES = {
  EventEmitter,
  Writable,
  Duplex,
  Readable,
  OutgoingMessage: http.OutgoingMessage,
};
for (const [name, made] of Object.entries(PROTOTYPES)) PLACES[name] = made.prototype;
const CHANNELS = ["http.server.request.start", "http.server.response.finish", "net.client.socket"];

function look() {
  const seen = new Map();
  for (const [name, object] of Object.entries(PLACES)) {
    for (const key of Reflect.ownKeys(object)) {
      const { value, get, set, ...flags } = Object.getOwnPropertyDescriptor(object, key);
      seen.set(`${name}.${String(key)}`, [value, get, set, JSON.stringify(flags)]);
    }
  }
  for (const name of CHANNELS) seen.set(`dc ${name}`, [dc.channel(name).hasSubscribers]);
  return seen;
}

/** Names of what is not as it was. */
function changes() {
  const now = look();
  const names = new Set([...before.keys(), ...now.keys()]);
  return [...names].filter((name) => {
    const [old, found] = [before.get(name) ?? [], now.get(name) ?? []];
    return old.length !== found.length || old.some((each, index) => !Object.is(each, found[index]));
  });
}

const ROUTES = {
  "/": (_url, res) => res.end(JSON.stringify({ hello: "world" })),
  "/slow": (url, res) => setTimeout(() => res.end("slow"), Number(url.searchParams.get("ms"))),
  "/never": (_url, res) => void res.write(Buffer.alloc(32 * 1024 * 1024)),
  "/order": (url, res) => {
    placed(url.searchParams.get("id"), 10);
    res.end("placed");
  },
  "/query": async (_url, res) => res.end(await db.query("select 1")),
  "/fail": (_url, res) => {
    try {
      res.end(db.check("x"));
    } catch (error) {
      res.writeHead(503).end(error.message);
    }
  },
  "/keys": (_url, res) => {
    for (let key = 0; key < 1500; key += 1) db.check(`key ${key}`);
    res.end("many");
  },
  "/hostile": (_url, res) => {
    let touched = 0;
    const touch = () => (touched += 1);
    const trap = new Proxy({}, { get: touch, has: touch, ownKeys: () => (touch(), []) });
    const value = { text: "x".repeat(5e6), trap, toString: touch, valueOf: touch };
    Object.defineProperty(value, "secret", { get: touch, enumerable: true });
    db.keep(value);
    db.keep(trap);
    res.end(String(touched));
  },
  "/spin": (_url, res) => {
    const end = Date.now() + 3000;
    while (Date.now() < end);
    res.end("spun");
  },
  "/die": () => process.kill(process.pid, "SIGKILL"),
  "/changes": (_url, res) => res.end(JSON.stringify({ pid: process.pid, changes: changes() })),
};

const server = http.createServer((req, res) => {
  const url = new URL(req.url, "http://localhost");
  const route = ROUTES[url.pathname] ?? ((_url, response) => response.writeHead(404).end());
  void route(url, res);
});
let before;
server.listen(0, () => {
  // after what Holdfast itself listens to, and lazy members of node:fs and the like
  void fs.promises;
  look(); // itself makes node:http load undici, whose symbols are global
  before = look();
});
