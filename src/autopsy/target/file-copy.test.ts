import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { FileCopy } from "./file-copy.ts";
import type { Run } from "./page-runs.ts";

const PAGE = 4096;
const PAGES = 64;
const BASE = 0x7f00_0000_0000;

/** A process of some pages, of which each is there or not. */
class Patient {
  readonly bytes = Buffer.alloc(PAGES * PAGE);
  readonly there: boolean[] = [];
  reads = 0;

  write(page: number, value: number): void {
    this.there[page] = true;
    this.bytes.fill(value, page * PAGE, (page + 1) * PAGE);
  }

  runs(): readonly Run[] {
    const runs: [number, number][] = [];
    for (let page = 0; page < PAGES; page += 1) {
      if (this.there[page] !== true) continue;
      const start = BASE + page * PAGE;
      const last = runs.at(-1);
      if (last?.[1] === start) last[1] = start + PAGE;
      else runs.push([start, start + PAGE]);
    }
    return runs;
  }

  readonly read = (parts: readonly Run[], into: Buffer): number => {
    let done = 0;
    for (const [start, end] of parts) {
      if (done + end - start > into.length) break;
      done += this.bytes.copy(into, done, start - BASE, end - BASE);
    }
    this.reads += done;
    return done;
  };
}

test("a copy is what was there at the second reading, and its file has no name", (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "file-copy-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, "copy");
  const copy = new FileCopy(file);
  t.after(() => copy.close());
  assert.equal(existsSync(file), false);
  const patient = new Patient();
  // the second block has holes, the third is not there yet
  for (let page = 0; page < 32; page += 1)
    if (page !== 18 && page !== 19) patient.write(page, page);
  const told: number[] = [];
  copy.fill(patient.runs(), patient.read, (bytes) => told.push(bytes));
  copy.flush();
  assert.deepEqual(told, [30 * PAGE]);
  patient.write(3, 103);
  patient.write(18, 118);
  patient.there[30] = false;
  for (let page = 40; page < 44; page += 1) patient.write(page, 200 + page);
  for (let page = 0; page < 16; page += 1) if (page > 3) patient.there[page] = page % 2 === 0;
  copy.fill(patient.runs(), patient.read);
  const into = Buffer.alloc(2 * PAGES * PAGE);
  for (let page = 0; page < PAGES; page += 1) {
    const address = BASE + page * PAGE;
    let end = page;
    while (patient.there[end] === true) end += 1;
    assert.equal(copy.read(address, into), (end - page) * PAGE, `from page ${page} on`);
    const expected = patient.bytes.subarray(page * PAGE, end * PAGE);
    assert.ok(into.subarray(0, expected.length).equals(expected), `page ${page}`);
  }
  assert.equal(copy.read(BASE + 3 * PAGE + 100, into.subarray(0, 7)), 7);
  assert.equal(into[0], 103);
  // a block that is not there any more is gone
  for (let page = 16; page < 32; page += 1) patient.there[page] = false;
  copy.fill(patient.runs(), patient.read);
  assert.equal(copy.read(BASE + 17 * PAGE, into), 0);
  assert.equal(copy.read(BASE + 41 * PAGE, into), 3 * PAGE);
});
