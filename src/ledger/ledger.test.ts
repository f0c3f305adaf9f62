import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HISTOGRAM_BUCKETS } from "../base/mod.ts";
import { closeDescriptor, createMemoryFile, mapMemoryFile } from "../os/mod.ts";
import {
  COMMITTED,
  CONNECTION,
  CONNECTION_SLOT_BYTES,
  HEADER,
  HEADER_BYTES,
  LATENCY_NAME_BYTES_MAX,
  LATENCY_SERIES_BYTES,
  LAYOUT_VERSION,
  SERIES,
  TOTALS,
  WORKER,
  WORKERS_OFFSET,
  WORKER_ROW_BYTES,
  arenaOffset,
  connectionsOffset,
  latencyOffset,
  ledgerBytes,
  workOffset,
} from "./layout.ts";
import {
  WORK_GATE,
  WORK_GATE_BYTES,
  WORK_HEADER,
  WORK_HEADER_BYTES,
  WORK_KIND,
  WORK_KIND_BYTES,
  WORK_ROW,
  WORK_ROW_BYTES,
} from "./work-layout.ts";
import type { LedgerShape } from "./layout.ts";
import { Ledger } from "./ledger.ts";

const SHAPE: LedgerShape = { connectionsMax: 10, workersMax: 3 };

/** Bytes of the fields that are not one i32. */
const WIDTHS: Readonly<Record<string, number>> = {
  "HEADER.bytes": 8,
  "HEADER.totals": 8 * TOTALS.length,
  "HEADER.committed": 4 * COMMITTED.length,
  "WORKER.heartbeatMs": 8,
  "WORKER.loopLagMs": 8,
  "WORKER.requests": 8,
  "WORKER.startedAtMs": 8,
  "WORKER.received": 8,
  "WORKER.sent": 8,
  "WORKER.heapLimitBytes": 8,
  "WORKER.heapUsedBytes": 8,
  "WORKER.externalBytes": 8,
  "WORKER.gcCount": 8,
  "WORKER.gcMs": 8,
  "WORKER.loopActiveMs": 8,
  "SERIES.sumUs": 8,
  "SERIES.waitedUs": 8,
  "SERIES.maxUs": 8,
  "SERIES.exemplarUs": 8,
  "SERIES.exemplarAtMs": 8,
  "SERIES.traceId": 32,
  "SERIES.spanId": 16,
  "SERIES.name": LATENCY_NAME_BYTES_MAX,
  "SERIES.counts": 8 * HISTOGRAM_BUCKETS,
  "WORK_HEADER.strayEnds": 8,
  "WORK_ROW.startMs": 8,
  "WORK_ROW.deadlineMs": 8,
  "WORK_ROW.progressMs": 8,
  "WORK_ROW.bytes": 8,
  "WORK_ROW.buffered": 8,
  "WORK_KIND.sumUs": 8,
  "WORK_KIND.maxUs": 8,
  "WORK_KIND.bytes": 8,
  "WORK_KIND.outcomes": 48,
  "WORK_KIND.name": 128,
  "WORK_GATE.limit": 8,
  "WORK_GATE.oldestAtMs": 8,
  "WORK_GATE.admitted": 8,
  "WORK_GATE.overloadedMs": 8,
  "WORK_GATE.refused": 48,
  "WORK_GATE.name": 128,
  "WORK_KIND.counts": 8 * HISTOGRAM_BUCKETS,
  "CONNECTION.counts": 4 * 8,
  "CONNECTION.journalFrom": 8,
  "CONNECTION.responseEnd": 8,
  "CONNECTION.requestAtMs": 8,
  "CONNECTION.openedAtMs": 8,
  "CONNECTION.requests": 8,
};

function checkFields(name: string, fields: Readonly<Record<string, number>>, bytes: number): void {
  const spans = Object.entries(fields)
    .map(([field, start]) => {
      const width = WIDTHS[`${name}.${field}`] ?? 4;
      assert.equal(start % Math.min(width, 8), 0, `${name}.${field} is aligned`);
      return { field, start, end: start + width };
    })
    .toSorted((a, b) => a.start - b.start);
  assert.ok(spans.length > 4, "it looked at something");
  spans.forEach(({ field, end }, index) => {
    const next = spans[index + 1]?.start ?? bytes;
    assert.ok(end <= next, `${name}.${field} ends at ${end}, the next begins at ${next}`);
  });
}

describe("the layout", () => {
  it("has no fields that overlap, and each fits its row", () => {
    checkFields("HEADER", HEADER, HEADER_BYTES);
    checkFields("WORKER", WORKER, WORKER_ROW_BYTES);
    checkFields("CONNECTION", CONNECTION, CONNECTION_SLOT_BYTES);
    checkFields("SERIES", SERIES, LATENCY_SERIES_BYTES);
    checkFields("WORK_HEADER", WORK_HEADER, WORK_HEADER_BYTES);
    checkFields("WORK_ROW", WORK_ROW, WORK_ROW_BYTES);
    checkFields("WORK_KIND", WORK_KIND, WORK_KIND_BYTES);
    checkFields("WORK_GATE", WORK_GATE, WORK_GATE_BYTES);
  });

  it("has no tables that overlap, and every one is aligned", () => {
    for (const connectionsMax of [1, 7, 1000, 1 << 20]) {
      for (const workersMax of [1, 3, 1024]) {
        const shape = { connectionsMax, workersMax };
        const slots = connectionsOffset(shape);
        assert.equal(slots, WORKERS_OFFSET + workersMax * WORKER_ROW_BYTES);
        assert.ok(arenaOffset(shape, 0) >= slots + connectionsMax * CONNECTION_SLOT_BYTES);
        assert.equal(slots % 8, 0);
        assert.equal(arenaOffset(shape, workersMax - 1) % 4096, 0);
        assert.ok(latencyOffset(shape, 0) >= arenaOffset(shape, workersMax));
        assert.equal(latencyOffset(shape, workersMax) % 4096, 0);
        assert.ok(workOffset(shape, 0) >= latencyOffset(shape, workersMax + 1));
        assert.equal(workOffset(shape, workersMax) % 4096, 0);
        assert.equal(ledgerBytes(shape), workOffset(shape, workersMax));
      }
    }
  });
});

/** A ledger with its header in hand. */
function created(): { fd: number; header: DataView } {
  const fd = Ledger.create(SHAPE);
  return { fd, header: new DataView(mapMemoryFile(fd, HEADER_BYTES)) };
}

describe("attaching to a ledger", () => {
  it("two processes' views are one memory", () => {
    const { fd } = created();
    const [one, other] = [Ledger.attach(fd), Ledger.attach(fd)];
    closeDescriptor(fd);
    assert.deepEqual(other.shape, SHAPE);
    one.count("moved", 3);
    one.count("moved");
    one.count(TOTALS.at(-1) ?? "closed", 5);
    one.commit("lastGeneration", 7);
    one.connectionsTop = 4;
    one.arena(2).inbox.write("abc");
    one.connections.open(9, 1, 2, "held");
    assert.equal(other.total("moved"), 4);
    assert.equal(other.total(TOTALS.at(-1) ?? "closed"), 5);
    assert.equal(other.committed("lastGeneration"), 7);
    assert.equal(other.committed("generation"), 0);
    assert.equal(other.connectionsTop, 4);
    assert.equal(other.arena(2).inbox.toString("latin1", 0, 3), "abc");
    assert.equal(other.connections.generation(9), 1);
  });

  it("a row is claimed by one worker, found by its id, and empty when claimed again", () => {
    const { fd } = created();
    const { workers } = Ledger.attach(fd);
    closeDescriptor(fd);
    assert.deepEqual(
      [11, 12, 13, 14].map((id) => workers.claim(id, 0, 1)),
      [0, 1, 2, -1],
    );
    workers.setFloat(1, "heartbeatMs", 5);
    workers.setInt(1, "executing", 6);
    assert.equal(workers.find(12), 1);
    workers.clear(1);
    assert.equal(workers.find(12), -1);
    assert.equal(workers.claim(15, 2, 3), 1);
    const { heartbeatMs, index, generation, id } = workers.snapshot(1);
    assert.deepEqual([heartbeatMs, index, generation, id], [0, 2, 3, 15]);
    assert.equal(workers.int(1, "executing"), 0);
    assert.equal(workers.snapshot(2).id, 13, "its neighbour is untouched");
  });

  it("a top beyond the table does not lead a scan out of it", () => {
    const { fd } = created();
    const ledger = Ledger.attach(fd);
    closeDescriptor(fd);
    ledger.connectionsTop = 1 << 30;
    assert.equal(ledger.connectionsTop, SHAPE.connectionsMax);
  });

  const damages: Record<string, (header: DataView) => void> = {
    "another version": (header) => header.setUint32(HEADER.version, LAYOUT_VERSION + 1, true),
    "no magic": (header) => header.setUint32(HEADER.magic, 0, true),
    "more connections than its size": (header) =>
      header.setUint32(HEADER.connectionsMax, 200, true),
    "more connections than any ledger": (header) =>
      header.setUint32(HEADER.connectionsMax, 0xffff_ffff, true),
    "more workers than its size": (header) => header.setUint32(HEADER.workersMax, 4, true),
    "more workers than any ledger": (header) =>
      header.setUint32(HEADER.workersMax, 0xffff_ffff, true),
    "a size that is none": (header) => header.setFloat64(HEADER.bytes, Number.NaN, true),
  };
  for (const [name, damage] of Object.entries(damages)) {
    it(`is refused: ${name}`, () => {
      const { fd, header } = created();
      damage(header);
      assert.throws(() => Ledger.attach(fd), { code: "ERR_HOLDFAST_LEDGER" });
      closeDescriptor(fd);
    });
  }

  it("is refused: a memory file of zeroes", () => {
    const fd = createMemoryFile("zeroes", HEADER_BYTES);
    assert.throws(() => Ledger.attach(fd), {
      code: "ERR_HOLDFAST_LEDGER",
      message: /descriptor \d+.*version 0.*one installation/s,
    });
    closeDescriptor(fd);
  });

  it("is refused: a descriptor that is not open", () => {
    assert.throws(() => Ledger.attach(1_000_000), { code: "ERR_HOLDFAST_SYSTEM_CALL" });
  });
});
