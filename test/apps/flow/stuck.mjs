// Pipes that stand still, each in its own way, under the watchdog: prints what it says as JSON.
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { PassThrough, Readable, Transform, Writable, pipeline } from "node:stream";
import { pipeline as pipelinePromise } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { inFlight, watchdog } from "holdfast/flow";
import { dropAll } from "../../support/drop-all.ts";

const told = [];
const dog = watchdog({ stallMs: 1500, onStall: (stall) => told.push(stall) });
const file = path.join(os.tmpdir(), `hf-stuck-${process.pid}`);
fs.writeFileSync(file, Buffer.alloc(300_000));

/** 1: a client that stops reading. */
const big = http.createServer((request, response) => {
  const source = new Readable({
    read() {
      this.push(Buffer.alloc(65_536));
    },
  });
  pipeline(source, new PassThrough(), response, () => undefined);
});
await new Promise((resolve) => big.listen(0, "127.0.0.1", resolve));
const lazy = net.connect(big.address().port, "127.0.0.1");
lazy.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
lazy.pause();

/** 2: a transform that never says that it is done; held, so that it is not collected. */
const never = new Transform({ transform() {} });
const held = [never];
pipeline(fs.createReadStream(file), never, fs.createWriteStream(`${file}.out`), () => undefined);

/** 3: a source that gives nothing. */
const silent = new Readable({ read() {} });
held.push(silent);
silent.pipe(
  new Writable({
    write(chunk, encoding, done) {
      done();
    },
  }),
);

/** 4: the same as 2 with nobody who holds it. */
function lose() {
  pipeline(
    Readable.from(["a", "b"]),
    new Transform({ transform() {} }),
    new PassThrough(),
    () => undefined,
  );
}
lose();

/** 5: a destination that goes while the source has more. */
const orphan = new Readable({ read() {} });
const gone = new PassThrough();
orphan.pipe(gone);
held.push(orphan);
orphan.push("x");
setImmediate(() => {
  gone.destroy();
  orphan.push("more");
});

/** 6: a body that nobody reads. */
const bodies = http.createServer((request, response) => response.end(Buffer.alloc(5_000_000)));
await new Promise((resolve) => bodies.listen(0, "127.0.0.1", resolve));
const response = await fetch(`http://127.0.0.1:${bodies.address().port}/`);
held.push(response);
http.get({ port: bodies.address().port }, (each) => held.push(each));

/** 7: web streams: a sink that is never done, a source that gives nothing, one that is slow. */
const deaf = new WritableStream({ write: () => new Promise(() => undefined) });
held.push(deaf, ReadableStream.from(["a", "b"]).pipeTo(deaf));
const mute = new ReadableStream({ pull: () => new Promise(() => undefined) });
const upper = new TransformStream({ transform: (chunk, to) => to.enqueue(chunk.toUpperCase()) });
held.push(mute.pipeThrough(upper));
async function* drops() {
  for (let drop = 0; drop < 6; drop += 1) {
    await delay(400);
    yield `drop ${drop} `;
  }
}
let text = "";
const slowWeb = ReadableStream.from(drops())
  .pipeThrough(new TransformStream())
  .pipeTo(new WritableStream({ write: (chunk) => void (text += chunk) }));

/** 8: a client that stops reading what a web stream gives. */
const zeros = http.createServer((request, reply) => {
  const source = new ReadableStream({
    async pull(to) {
      await delay(1);
      to.enqueue(new Uint8Array(65_536));
    },
  });
  source.pipeTo(Writable.toWeb(reply)).catch(() => undefined);
});
await new Promise((resolve) => zeros.listen(0, "127.0.0.1", resolve));
const deafClient = net.connect(zeros.address().port, "127.0.0.1");
deafClient.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
deafClient.pause();

/** 9: slow, but moving. */
let count = 0;
const slow = new Readable({
  read() {
    setTimeout(() => this.push((count += 1) < 12 ? "drop" : null), 400);
  },
});
const slowPipe = pipelinePromise(
  slow,
  new Writable({
    write(chunk, encoding, done) {
      done();
    },
  }),
);

/** 10: a client whose machine is no longer there: its kernel drops all that comes. */
const sse = http.createServer((request, reply) => {
  const events = new Readable({ read() {} });
  held.push(events);
  events.pipe(reply);
  events.push("first");
  setTimeout(() => events.push("second"), 500);
});
await new Promise((resolve) => sse.listen(0, "127.0.0.1", resolve));
const dead = net.connect(sse.address().port, "127.0.0.1");
dead.write("GET /events?key=secret HTTP/1.1\r\nHost: x\r\n\r\n");
dead.once("data", () => dropAll(dead));

/** 11: a source that is paused although it has more. */
const paused = Readable.from(["a", "b", "c"]);
held.push(paused);
paused.pipe(new PassThrough()).once("data", () => paused.pause());

/** 12: pipes of Node's own are nobody's: those of a thread's output, for example. */
const quiet = new Worker("setTimeout(() => {}, 1e6)", { eval: true });

/** 13: a source that goes before its end, as that of a client that leaves; the last is stuck. */
const ways = [
  [{ end: false }, () => undefined],
  [{}, (source, sink) => source.unpipe(sink)],
  [{}, (source, sink) => sink.end()],
  [{}, (source, sink) => sink.destroy()],
  [{}, () => undefined],
];
for (const [options, leave] of ways) {
  const source = new Readable({ read() {} });
  const sink = new Writable({ write: (chunk, encoding, done) => done() });
  held.push(source, sink);
  source.pipe(sink, options);
  source.push("x");
  setImmediate(() => {
    leave(source, sink);
    source.destroy();
  });
}

await slowPipe;
await slowWeb;
for (let tries = 0; tries < 40 && new Set(told.map(({ site }) => site)).size < 13; tries += 1) {
  globalThis.gc();
  await delay(250);
}
const states = inFlight().map(({ name, state }) => `${name}: ${state}`);
const seen = told.map(({ pipe, why, culprit, site }) => ({ pipe, why, culprit, site }));
for (const each of [lazy, dead]) each.destroy();
await quiet.terminate();
deafClient.destroy();
dog[Symbol.dispose]();
for (const each of held) each.destroy?.();
fs.rmSync(file);
fs.rmSync(`${file}.out`, { force: true });
const isRestored = pipeline === (await import("node:stream")).pipeline;
process.stdout.write(JSON.stringify({ seen, states, isRestored, text }), () => process.exit(0));
