import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { PassThrough, Readable, Transform, Writable } from "node:stream";
import { ReadableStream, WritableStream } from "node:stream/web";
import { afterEach, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { waitUntil } from "../../../test/support/wait-until.ts";
import { nowMs } from "../clock.ts";
import { deadline } from "../deadline.ts";
import { DeadlineExceeded } from "../errors.ts";
import { account, inFlight } from "../work.ts";
import { PipeStalled, watchPipe } from "./monitor.ts";
import type { Stall } from "./monitor.ts";
import { PipeTooLong, pipe } from "./pipe.ts";
import type { PipeOptions } from "./pipe.ts";
import type { Stage } from "./stages.ts";

/** Takes everything. */
function sink(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

/** Timers that keep the process alive. */
function timersThatHold(): number {
  return process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;
}

/** Never says that it is done. */
function stuck(): Transform {
  return new Transform({ transform: () => undefined });
}

/** In each suite, not in the file: there it would be for every test of the process. */
function accountsAreEmpty(): void {
  const left = inFlight();
  // of thousands a difference would take gigabytes
  assert.equal(left.length, 0, `accounts return to zero: ${JSON.stringify(left.slice(0, 3))}`);
}

describe("pipe", () => {
  afterEach(accountsAreEmpty);

  it("moves everything, counts it, and accounts for it", async () => {
    const chunks: Buffer[] = [];
    const last = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        chunks.push(chunk);
        done();
      },
    });
    const bytes = await pipe(createReadStream(import.meta.filename), new PassThrough(), last);
    assert.equal(bytes, Buffer.concat(chunks).length);
    assert.match(Buffer.concat(chunks).toString(), /accounts return to zero/);
    assert.ok(account("pipe").totals().outcomes.ok > 0);
  });

  it("takes web streams and iterables", async () => {
    let text = "";
    const web = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from("from "));
        controller.enqueue(Buffer.from("the web"));
        controller.close();
      },
    });
    const to = new WritableStream({
      write: (chunk: Buffer) => void (text += chunk.toString()),
    });
    assert.equal(await pipe(web, to), 12);
    assert.equal(text, "from the web");
    assert.equal(await pipe(["a", "b", "c"], sink()), 3);
  });

  it("gives up what stands still, and says why, when and where", async () => {
    const stalls: string[] = [];
    const endless = new Readable({ read: () => undefined });
    endless.push("x");
    const before = timersThatHold();
    const options: PipeOptions = { stallMs: 500, onStall: ({ why }) => stalls.push(why) };
    const moved = pipe(endless, stuck(), sink(), options);
    assert.equal(timersThatHold(), before + 1, "the process does not end before it is told");
    await assert.rejects(moved, (error) => {
      assert.ok(error instanceof PipeStalled);
      assert.equal(error.stall.why, "callback-outstanding");
      assert.equal(error.stall.culprit, "Transform");
      assert.match(error.stall.site, /pipe\.test\.ts/);
      assert.match(error.message, /Readable -> Transform -> Writable has not moved for \d+ ms/);
      return true;
    });
    assert.equal(timersThatHold(), before);
    assert.deepEqual(stalls, ["callback-outstanding"]);
    assert.equal(endless.destroyed, true);
  });

  it("destroys a plain pipe that nobody listens to, and the process lives on", async () => {
    const limits = { stallMs: 10, destroyMs: 20, onStall: null };
    const streams = [new Readable({ read: () => undefined }), stuck(), sink()] as const;
    streams[0].pipe(streams[1]).pipe(streams[2]);
    const heard: unknown[] = [];
    streams[2].on("error", (error) => heard.push(error));
    const stages = streams.slice(0, 2) as unknown[] as Stage[]; // each is the one or the other
    const watched = watchPipe(stages, limits, "here");
    watched.look(nowMs(), 0); // as far as it has come
    watched.look(nowMs() + 1000, 0);
    await new Promise((resolve) => setImmediate(resolve)); // an error that nobody hears comes here
    // the last one is piped to by a pipe of its own, and would wait for ever
    for (const stream of streams) assert.ok(stream.errored instanceof PipeStalled);
    assert.deepEqual(heard, [streams[2].errored]);
    watched.settle("ok");
  });

  it("gives up what is longer than it may be", async () => {
    const source = Readable.from([Buffer.alloc(600), Buffer.alloc(600)]);
    await assert.rejects(pipe(source, sink(), { maxBytes: 1000 }), PipeTooLong);
  });

  it("ends with its deadline, its signal, and what a stream fails with", async () => {
    const silent = new Readable({ read: () => undefined });
    await assert.rejects(
      deadline.run(20, () => pipe(silent, sink())),
      DeadlineExceeded,
    );
    const controller = new AbortController();
    const aborted = pipe(new Readable({ read: () => undefined }), sink(), {
      signal: controller.signal,
    });
    controller.abort(new Error("enough"));
    await assert.rejects(aborted, /enough/);
    const failing = new Readable({
      read() {
        this.destroy(new Error("broken"));
      },
    });
    await assert.rejects(pipe(failing, sink()), /broken/);
    const gone = new PassThrough();
    gone.destroy();
    await assert.rejects(pipe(Readable.from(["a"]), gone));
    await assert.rejects(pipe(Readable.from(["a"]), sink(), { signal: AbortSignal.abort() }));
  });

  it("says what is wrong in its options", async () => {
    await assert.rejects(pipe(Readable.from(["a"])), /takes a source and a destination/);
    const wrong = [{ stallMs: 0 }, { stallMs: Number.NaN }, { maxBytes: -1 }];
    for (const options of wrong) {
      await assert.rejects(pipe(Readable.from(["a"]), sink(), options), /must be a number/);
    }
  });
});

/** `a.pipe(b).pipe(c)`, watched as two pipes: what is told until both stand still. */
async function chain(t: TestContext, a: Readable, b: Transform, c: Writable): Promise<string[]> {
  const told: string[] = [];
  const onStall = ({ pipe, why, culprit }: Stall): void => {
    told.push(`${pipe}: ${why} at ${culprit}`);
  };
  const limits = { stallMs: 20, destroyMs: Number.POSITIVE_INFINITY, onStall };
  const watched = [
    watchPipe([a, b] as unknown[] as Stage[], limits, "first"), // each is the one or the other
    watchPipe([b, c] as unknown[] as Stage[], limits, "second"),
  ];
  t.after(() => watched.forEach((each) => each.settle("cancelled")));
  a.pipe(b).pipe(c);
  await waitUntil("both stand still", () => watched.every(({ stall }) => stall !== null));
  return told;
}

class Slow extends Transform {
  override _transform(): void {}
}

describe("of pipes that follow each other one is told", () => {
  const full = (): Readable => Readable.from([1, 2, 3, 4].map(() => Buffer.alloc(200_000)));

  it("the last, where it takes nothing", async (t) => {
    const last = new Writable({ write: () => undefined });
    const told = await chain(t, full(), new PassThrough(), last);
    assert.deepEqual(told, ["PassThrough -> Writable: callback-outstanding at Writable"]);
  });

  it("the first, where nothing comes, or the one between does nothing", async (t) => {
    const silent = await chain(t, new Readable({ read: () => undefined }), new Slow(), sink());
    assert.deepEqual(silent, ["Readable -> Slow: source-silent at Readable"]);
    const between = await chain(t, full(), new Slow(), sink());
    assert.deepEqual(between, ["Readable -> Slow: callback-outstanding at Slow"]);
  });
});
