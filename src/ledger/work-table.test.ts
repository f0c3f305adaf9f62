import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { WORK_BYTES, WORK_NAMES_MAX, WORK_ROWS_MAX } from "./work-layout.ts";
import { WorkTable } from "./work-table.ts";

const OK = 0;
const ERROR = 1;

function made(): { writer: WorkTable; reader: WorkTable; memory: ArrayBuffer } {
  const memory = new ArrayBuffer(WORK_BYTES);
  return {
    memory,
    writer: new WorkTable(memory, 0, "writer"),
    reader: new WorkTable(memory, 0, "reader"),
  };
}

describe("the table of work", () => {
  it("lists what is in flight, oldest first, to anybody who reads the memory", () => {
    const { writer, reader } = made();
    const kind = writer.kind("sql");
    writer.nowMs = 20;
    const late = writer.begin(kind, writer.name("orders"), 0, 0);
    writer.nowMs = 10;
    const early = writer.begin(kind, 0, late, 99);
    writer.setState(early, 1);
    writer.nowMs = 15;
    writer.progress(early, 512);
    writer.setBuffered(early, 64);
    assert.deepEqual(reader.list(), [
      {
        work: early,
        kind: "sql",
        name: "",
        parent: late,
        state: "queued",
        startMs: 10,
        deadlineMs: 99,
        progressMs: 15,
        bytes: 512,
        buffered: 64,
      },
      {
        work: late,
        kind: "sql",
        name: "orders",
        parent: 0,
        state: "running",
        startMs: 20,
        deadlineMs: 0,
        progressMs: 20,
        bytes: 0,
        buffered: 0,
      },
    ]);
  });

  it("counts by outcome, with the durations", () => {
    const { writer, reader } = made();
    const kind = writer.kind("sql");
    for (let count = 0; count < 100; count += 1) {
      writer.nowMs = 0;
      const work = writer.begin(kind, 0, 0, 0);
      writer.nowMs = count < 99 ? 1 : 100;
      assert.equal(writer.end(work, OK), true);
    }
    writer.end(writer.begin(kind, 0, 0, 0), ERROR);
    const [view] = reader.kinds();
    assert.equal(view?.kind, "sql");
    assert.equal(view.inFlight, 0);
    assert.equal(view.opened, 101);
    assert.equal(view.outcomes.ok, 100);
    assert.equal(view.outcomes.error, 1);
    assert.ok(Math.abs(view.p50Us - 1000) < 10, String(view.p50Us));
    assert.equal(view.maxUs, 100_000);
  });

  it("takes an end too many for what it is", () => {
    const { writer, reader } = made();
    const kind = writer.kind("sql");
    const work = writer.begin(kind, 0, 0, 0);
    assert.equal(writer.end(work, OK), true);
    assert.equal(writer.end(work, OK), false);
    const again = writer.begin(kind, 0, 0, 0); // the same row
    assert.equal(writer.end(work, OK), false);
    assert.equal(writer.inFlight(kind), 1);
    assert.equal(writer.end(again, OK), true);
    assert.equal(writer.end(0, OK), false);
    assert.equal(writer.end(-7, OK), false);
    assert.equal(reader.strayEnds, 4);
  });

  it("counts what it has no row for, and loses none of it", () => {
    const { writer, reader } = made();
    const kind = writer.kind("sql");
    const other = writer.kind("http");
    const all = Array.from({ length: 100_000 }, () => writer.begin(kind, 0, 0, 0));
    const last = writer.begin(other, 0, 0, 0);
    assert.equal(reader.list().length, WORK_ROWS_MAX - 1);
    assert.equal(writer.inFlight(kind), 100_000);
    assert.equal(reader.kinds()[0]?.unlisted, 100_001 - WORK_ROWS_MAX);
    for (const work of all) assert.equal(writer.end(work, OK), true);
    assert.equal(writer.end(last, OK), true);
    assert.equal(writer.inFlight(kind), 0);
    assert.equal(writer.inFlight(other), 0);
    assert.equal(reader.kinds()[0]?.unlisted, 0);
  });

  it("has (other) for kinds, and no name for names, beyond what it holds", () => {
    const { writer, reader } = made();
    const kinds = Array.from({ length: 100 }, (_, index) => writer.kind(`kind ${index}`));
    assert.equal(kinds[99], kinds[80]);
    assert.equal(reader.kinds().at(-1)?.kind, "(other)");
    for (let name = 0; name < WORK_NAMES_MAX; name += 1) writer.name(`name ${name}`);
    assert.equal(writer.name("one more"), 0);
    assert.ok(writer.name("name 7") > 0);
  });

  it("counts by number alone what nobody lists", () => {
    const { writer, reader } = made();
    const kind = writer.kind("timer");
    writer.tally(kind, null);
    writer.tally(kind, null);
    writer.tally(kind, "cancelled");
    assert.deepEqual(reader.list(), []);
    assert.equal(reader.kinds()[0]?.inFlight, 1);
    assert.equal(reader.kinds()[0]?.outcomes.cancelled, 1);
  });

  it("begins anew for the next writer", () => {
    const { writer, memory } = made();
    writer.begin(writer.kind("sql"), 0, 0, 0);
    writer.gate("http.in")?.setLimit(5);
    const next = new WorkTable(memory, 0, "writer");
    assert.deepEqual(next.list(), []);
    assert.deepEqual(next.kinds(), []);
    assert.deepEqual(next.gates(), []);
  });

  it("is read without harm when the memory is anything", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.nat(0xff), (head, fill) => {
        const memory = new ArrayBuffer(WORK_BYTES);
        const bytes = new Uint8Array(memory);
        bytes.set(head);
        bytes.fill(fill, WORK_BYTES - 64 * 8192, WORK_BYTES - 64 * 8000);
        const reader = new WorkTable(memory, 0, "reader");
        for (const { kind, name } of reader.list()) assert.equal(typeof kind + name, "string");
        assert.ok(reader.kinds().length <= 64);
        assert.ok(reader.gates().length <= 64);
      }),
      { numRuns: 50 },
    );
  });
});
