import assert from "node:assert/strict";
import { PassThrough, Writable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { StreamSink, TAIL_BYTES_MAX, Tail, Tap } from "./output.ts";
import type { Sink } from "./output.ts";

const nowhere = (): void => undefined;

interface Tapped {
  readonly lines: string[];
  readonly passed: Buffer[];
  readonly stream: PassThrough;
  readonly tap: Tap;
}

function tapped(): Tapped {
  const lines: string[] = [];
  const passed: Buffer[] = [];
  const stream = new PassThrough();
  const sink: Sink = {
    write: (bytes) => {
      passed.push(Buffer.from(bytes));
      return true;
    },
    onDrain: nowhere,
    flush: () => Promise.resolve(),
    isTTY: false,
    isAtOnce: true,
  };
  const tap = new Tap(stream, sink, (line) => lines.push(line), nowhere);
  return { lines, passed, stream, tap };
}

async function ended(stream: PassThrough): Promise<void> {
  const closed = new Promise((resolve) => void stream.on("close", resolve));
  stream.end();
  await closed;
}

test("bytes are passed on unchanged, and lines seen, however they are cut", async () => {
  const piece = fc.constantFrom("a", "\n", "\r\n", "é", "€", "\u{1F600}", "\0", "word");
  const text = fc.array(piece, { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 1, max: 7 }), async (parts, size) => {
      const bytes = Buffer.from(parts.join(""));
      const { lines, passed, stream } = tapped();
      for (let from = 0; from < bytes.length; from += size) {
        stream.write(bytes.subarray(from, from + size));
      }
      await ended(stream);
      assert.deepEqual(Buffer.concat(passed), bytes);
      const expected = bytes.toString().split("\n");
      if (expected.at(-1) === "") expected.pop();
      assert.deepEqual(lines, expected);
    }),
    { numRuns: 30 },
  );
});

test("a line without an end is cut, so that it cannot fill the memory", async () => {
  const { lines, stream, tap } = tapped();
  stream.write("x".repeat(100_000));
  await ended(stream);
  assert.ok(tap.isEnded);
  assert.equal(lines.join(""), "x".repeat(100_000));
  assert.ok(lines.length > 5);
});

/** A stream whose reader takes one piece when told to. */
class SlowReader extends Writable {
  readonly taken: Buffer[] = [];
  #next: (() => void) | null = null;

  constructor() {
    super({ highWaterMark: 10 });
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(chunk);
    this.#next = done;
  }

  take(): void {
    this.#next?.();
  }
}

test("a reader that does not read pauses the writer, and nothing is lost", async () => {
  const reader = new SlowReader();
  const sink = new StreamSink(reader, false);
  const stream = new PassThrough({ highWaterMark: 10 });
  const tap = new Tap(stream, sink, nowhere, nowhere);
  stream.write("a".repeat(20));
  await new Promise(setImmediate);
  assert.ok(tap.isPaused);
  assert.equal(stream.write("b".repeat(20)), false, "the writer is held up");
  const flushed = sink.flush();
  for (let round = 0; round < 5; round += 1) {
    reader.take();
    await new Promise(setImmediate);
  }
  await flushed;
  assert.equal(Buffer.concat(reader.taken).toString(), `${"a".repeat(20)}${"b".repeat(20)}`);
  assert.equal(tap.isPaused, false);
});

test("a reader that has gone holds up nobody", async () => {
  const reader = new SlowReader();
  const sink = new StreamSink(reader, false);
  const stream = new PassThrough();
  const lines: string[] = [];
  const tap = new Tap(stream, sink, (line) => lines.push(line), nowhere);
  stream.write("a".repeat(20));
  await new Promise(setImmediate);
  assert.ok(tap.isPaused);
  reader.destroy(new Error("EPIPE"));
  await new Promise(setImmediate);
  stream.write("\nb\n");
  await ended(stream);
  assert.deepEqual(lines, ["a".repeat(20), "b"], "the log still gets its lines");
  await sink.flush();
});

test("the tail keeps the last 4 KiB, from the beginning of a line", () => {
  const tail = new Tail();
  tail.add(Buffer.from("short\n"));
  assert.equal(tail.toString(), "short\n");
  for (let line = 0; line < 1000; line += 1) tail.add(Buffer.from(`line ${line} of many\n`));
  assert.ok(tail.toString().length <= TAIL_BYTES_MAX);
  assert.match(tail.toString(), /^line \d+ of many\n/);
  assert.ok(tail.toString().endsWith("line 999 of many\n"));
  tail.add(Buffer.alloc(10_000, "x"));
  assert.equal(tail.toString(), "x".repeat(TAIL_BYTES_MAX));
});
