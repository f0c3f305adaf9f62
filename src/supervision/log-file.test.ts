import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { LogFile } from "./log-file.ts";
import type { LogRecord } from "./log-file.ts";

const LIMITS = { fileBytesMax: 4000, queueBytesMax: 100_000 } as const;

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "holdfast-log-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

function record(n: number): LogRecord {
  return {
    time: "2026-01-01T00:00:00.000Z",
    source: "worker",
    stream: "stdout",
    line: `line ${n}`,
  };
}

function linesOf(path: string): string[] {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  return lines.map((line) => (JSON.parse(line) as LogRecord).line); // made by LogFile
}

test("records are lines of JSON, for this user only, added to what is there", async (t) => {
  const path = join(directory(t), "shop.log");
  for (const n of [1, 2]) {
    const log = new LogFile(path, assert.fail, LIMITS);
    log.append(record(n));
    await log.close();
  }
  assert.deepEqual(linesOf(path), ["line 1", "line 2"]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("two files are kept, each bounded, and no line is lost between them", async (t) => {
  const path = join(directory(t), "shop.log");
  const log = new LogFile(path, assert.fail, LIMITS);
  for (let n = 0; n < 500; n += 1) {
    log.append(record(n));
    if (n % 10 === 9) await log.flush();
  }
  await log.close();
  const lines = [...linesOf(`${path}.1`), ...linesOf(path)];
  const first = 500 - lines.length;
  assert.deepEqual(
    lines,
    Array.from({ length: lines.length }, (_, at) => `line ${first + at}`),
  );
  for (const file of [path, `${path}.1`]) assert.ok(statSync(file).size <= LIMITS.fileBytesMax);
});

test("a full disk loses lines, says so once; the next line that fits says how many", async (t) => {
  const path = join(directory(t), "shop.log");
  symlinkSync("/dev/full", path);
  const troubles: string[] = [];
  const log = new LogFile(path, (message) => troubles.push(message), LIMITS);
  log.append(record(1));
  await log.flush();
  assert.equal(log.lost, 1);
  log.append(record(2));
  await log.flush();
  assert.equal(log.lost, 2);
  assert.equal(troubles.length, 1);
  assert.match(troubles[0] ?? "", /cannot write the log .*shop\.log: ENOSPC/);
  unlinkSync(path);
  log.append(record(3));
  await log.close();
  assert.deepEqual(linesOf(path), ["2 lines of the log were lost here", "line 3"]);
});

test("more than the queue holds is dropped and counted", async (t) => {
  const path = join(directory(t), "shop.log");
  const log = new LogFile(path, assert.fail, { ...LIMITS, fileBytesMax: 1e6, queueBytesMax: 1000 });
  for (let n = 0; n < 100; n += 1) log.append(record(n));
  assert.ok(log.lost > 50);
  const { lost } = log;
  await log.flush();
  log.append(record(100));
  await log.close();
  assert.ok(linesOf(path).includes(`${lost} lines of the log were lost here`));
  assert.equal(linesOf(path).at(-1), "line 100");
});

test("what stands in the way of the older file costs lines, not the bound", async (t) => {
  const path = join(directory(t), "shop.log");
  mkdirSync(`${path}.1`);
  const troubles: string[] = [];
  const log = new LogFile(path, (message) => troubles.push(message), LIMITS);
  for (let n = 0; n < 200; n += 1) {
    log.append(record(n));
    await new Promise(setImmediate);
  }
  await log.close();
  assert.ok(statSync(path).size <= LIMITS.fileBytesMax);
  assert.ok(troubles.length > 0);
});

test("a line that the death of a keeper has cut does not spoil the next one", async (t) => {
  const path = join(directory(t), "shop.log");
  appendFileSync(path, '{"line":"cut');
  const log = new LogFile(path, assert.fail, LIMITS);
  log.append(record(1));
  await log.close();
  const lines = readFileSync(path, "utf8").split("\n");
  assert.equal(lines[0], '{"line":"cut');
  assert.match(lines[1] ?? "", /"line 1"/);
});
