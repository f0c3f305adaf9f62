import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { tailLog } from "./log-tail.ts";

function logPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-log-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "shop.log");
}

const text = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, offset) => `{"n":${from + offset}}\n`).join("");

async function tail(path: string, lines: number): Promise<unknown[]> {
  const { signal } = new AbortController();
  return collect(tailLog(path, { lines, follow: false, signal }));
}

const numbers = (records: readonly unknown[]): unknown[] =>
  records.map((record) => (record as { n: unknown }).n); // made by `text`

test("gives the last lines, oldest first", async (t) => {
  const path = logPath(t);
  writeFileSync(path, text(0, 50_000));
  assert.deepEqual(numbers(await tail(path, 3)), [49_997, 49_998, 49_999]);
  assert.equal((await tail(path, 10_000)).length, 10_000);
  assert.deepEqual(await tail(path, 0), []);
});

test("reaches back into the older file", async (t) => {
  const path = logPath(t);
  writeFileSync(`${path}.1`, text(0, 10));
  writeFileSync(path, text(10, 12));
  assert.deepEqual(numbers(await tail(path, 4)), [8, 9, 10, 11]);
  assert.equal((await tail(path, 100)).length, 12);
});

test("a line that is cut, or is not JSON, is left out", async (t) => {
  const path = logPath(t);
  writeFileSync(path, `${text(0, 2)}{"n":\nxyz\n${text(2, 3)}{"n":3`);
  assert.deepEqual(numbers(await tail(path, 10)), [0, 1, 2]);
});

test("follows through a rotation and misses nothing", async (t) => {
  const path = logPath(t);
  writeFileSync(path, text(0, 3));
  const abort = new AbortController();
  const records = tailLog(path, { lines: 1, follow: true, signal: abort.signal });
  const next = async (): Promise<unknown> => numbers([(await records.next()).value])[0];
  assert.equal(await next(), 2);
  appendFileSync(path, '{"n":3}\n{"n"');
  assert.equal(await next(), 3);
  appendFileSync(path, ":4}\n");
  renameSync(path, `${path}.1`);
  writeFileSync(path, text(5, 7));
  assert.deepEqual([await next(), await next(), await next()], [4, 5, 6]);
  abort.abort();
  assert.equal((await records.next()).done, true);
});

test("follows a file that is not there yet", async (t) => {
  const path = logPath(t);
  const abort = new AbortController();
  const records = tailLog(path, { lines: 10, follow: true, signal: abort.signal });
  const first = records.next();
  writeFileSync(path, text(0, 1));
  assert.deepEqual(numbers([(await first).value]), [0]);
  abort.abort();
  await records.return();
});

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}
