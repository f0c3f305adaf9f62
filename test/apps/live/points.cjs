// Does once, at GET /all, what every probe of `holdfast probes` is for; GET /leave never ends.
const dns = require("node:dns");
const { EventEmitter } = require("node:events");
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const { PassThrough, Readable } = require("node:stream");
const { setTimeout: sleep } = require("node:timers/promises");
const { probe } = require("holdfast/trace");

const made = probe("points:made", { meaning: "all was done", args: ["count"] });
let port = 0;
let count = 0;

/** Resolves also where it fails: that is what some probes are for. */
const settled = (start) => new Promise((resolve) => void start(() => resolve()));

function refused() {
  return new Promise((resolve) => {
    // a port that nobody listens at: it is taken and given back
    const holder = net.createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = holder.address();
      holder.close(() => resolve(free));
    });
  });
}

function ask(options) {
  return settled((done) => {
    const request = http.get(options, (response) => response.resume().on("end", done));
    request.on("error", done);
  });
}

function emit() {
  const emitter = new EventEmitter();
  emitter.on("placed", (value) => {
    if (value === "bad") throw new Error("a listener failed");
  });
  emitter.emit("placed", "good");
  try {
    emitter.emit("placed", "bad");
  } catch {
    // as it should
  }
}

async function everything() {
  const free = await refused();
  await ask({ port, path: "/small" });
  await ask({ port: free, path: "/nobody" });
  await fetch(`http://127.0.0.1:${port}/small`, { method: "POST", body: "x" }).then((each) =>
    each.text(),
  );
  await fetch(`http://127.0.0.1:${free}/nobody`).catch(() => undefined);
  await settled((done) => dns.lookup("localhost", done));
  await settled((done) => dns.lookup("none.invalid", done));
  await settled((done) => fs.stat(__filename, done));
  await settled((done) => fs.stat("/no/such/file", done));
  await fs.promises.readFile(__filename);
  await settled((done) => setTimeout(done, 5));
  emit();
  const pass = new PassThrough();
  Readable.from([Buffer.alloc(10), "twenty"])
    .pipe(pass)
    .resume();
  await sleep(300); // whoever asks again and again leaves time for others
  helper(count);
  globalThis.kept = Array.from({ length: 200_000 }, (_, at) => ({ at })); // garbage, next time
  count += 1;
  made(count);
}

function helper(value) {
  const doubled = 2 * value;
  return doubled;
}

const server = http.createServer((req, res) => {
  if (req.url === "/small") res.end("small");
  else if (req.url === "/leave") res.write(Buffer.alloc(32 * 1024 * 1024));
  else
    everything().then(
      () => res.end("all"),
      (error) => res.writeHead(500).end(error.stack),
    );
});
server.listen(0, () => {
  port = server.address().port;
});
