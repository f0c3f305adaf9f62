import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { BetweenLines, LINE_PATIENCE_MS } from "./log-lines.ts";
import type { Sink } from "./output.ts";

interface Scene {
  readonly log: BetweenLines;
  readonly worker: Sink;
  /** What was written, one for each write. */
  readonly writes: string[];
}

function scene(): Scene {
  const writes: string[] = [];
  const sink: Sink = {
    write: (bytes) => {
      writes.push(Buffer.from(bytes).toString());
      return true;
    },
    onDrain: () => undefined,
    flush: () => Promise.resolve(),
    isTTY: false,
    isAtOnce: false,
  };
  const log = new BetweenLines(sink);
  return { log, worker: log.pass(sink), writes };
}

test("between lines, a line of the log is written at once and in one piece", () => {
  const { log, worker, writes } = scene();
  log.write("holdfast: a\n");
  worker.write(Buffer.from("one\n"));
  log.write("holdfast: b\n");
  assert.deepEqual(writes, ["holdfast: a\n", "one\n", "holdfast: b\n"]);
});

test("within a line of a worker's, it waits for the end of that line", () => {
  const { log, worker, writes } = scene();
  worker.write(Buffer.from("Error: at "));
  log.write("holdfast: a\n");
  log.write("holdfast: b\n");
  worker.write(Buffer.alloc(0));
  worker.write(Buffer.from("line 3"));
  worker.write(Buffer.from("\n"));
  assert.deepEqual(writes, ["Error: at ", "", "line 3", "\n", "holdfast: a\nholdfast: b\n"]);
});

test("a line that does not end holds up the log for a second", (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const { log, worker, writes } = scene();
  worker.write(Buffer.from("Password: "));
  log.write("holdfast: a\n");
  mock.timers.tick(LINE_PATIENCE_MS - 1);
  log.write("holdfast: b\n");
  assert.deepEqual(writes, ["Password: "]);
  mock.timers.tick(1);
  assert.deepEqual(writes, ["Password: ", "\nholdfast: a\nholdfast: b\n"]);
  log.write("holdfast: c\n");
  assert.equal(writes.at(-1), "holdfast: c\n", "it is on a new line now");
});

test("at the end nothing is held back", async () => {
  const { log, worker, writes } = scene();
  worker.write("no end");
  log.write("holdfast: a\n");
  await worker.flush();
  assert.deepEqual(writes, ["no end", "\nholdfast: a\n"]);
  worker.write("again");
  for (let count = 0; count < 100; count += 1) log.write(`holdfast: ${count}\n`);
  const written = writes.join("").split("\n").length;
  assert.ok(written > 64, `a bound on what waits: ${written}`);
});
