import assert from "node:assert/strict";
import { test } from "node:test";
import { oneRegion } from "../../../test/support/one-region.ts";
import { readMalloc } from "./malloc.ts";
import { holdNothing } from "./native-lists.ts";
import { RangeList } from "./ranges.ts";

/** The heap of a thread: aligned to 64 MiB, its arena in it. */
const HEAP = 64 * 1024 * 1024;
const HEAP_BYTES = 256 * 1024;
const ARENA = HEAP + 48;
const FIRST = HEAP + 0x8d0;
const CACHE_BYTES = 0x290;

class Patient {
  readonly bytes = Buffer.alloc(HEAP_BYTES);
  #next = FIRST;

  constructor() {
    this.set(HEAP, ARENA);
    this.set(HEAP + 16, HEAP_BYTES);
    for (let bin = 0; bin < 127; bin += 1) {
      const at = ARENA + 112 + 16 * bin;
      this.set(at, at - 16);
      this.set(at + 8, at - 16);
    }
    this.set(ARENA + 2160, ARENA);
    this.set(ARENA + 2184, HEAP_BYTES);
  }

  set(address: number, value: number): void {
    this.bytes.writeBigUInt64LE(BigInt(value), address - HEAP);
  }

  /** @returns where its content is */
  chunk(bytes: number, isBeforeFree = false): number {
    const at = this.#next;
    this.#next += bytes;
    this.set(at + 8, bytes + (isBeforeFree ? 0 : 1));
    return at + 16;
  }

  read() {
    const top = this.#next;
    this.set(ARENA + 96, top);
    this.set(top + 8, HEAP + HEAP_BYTES - top + 1);
    const region = oneRegion(HEAP, this.bytes);
    return { memory: region.memory, top, malloc: readMalloc(region) };
  }
}

test("chunks that were given back: joined, in the cache of a thread, the rest at the end", () => {
  const patient = new Patient();
  const cache = patient.chunk(CACHE_BYTES);
  const [one, two, three] = [patient.chunk(64), patient.chunk(64), patient.chunk(64)];
  const joined = patient.chunk(320);
  patient.chunk(64, true);
  // two chunks of 64 bytes: list 2, which begins at the last one; links are mixed with their place
  patient.bytes.writeUInt16LE(2, cache + 4 - HEAP);
  patient.set(cache + 128 + 16, three);
  patient.set(three, Number(BigInt(one) ^ BigInt(Math.floor(three / 4096))));
  patient.set(one, Math.floor(one / 4096));
  const { malloc, top } = patient.read();
  assert.equal(malloc.isWhole, true);
  assert.deepEqual(
    malloc.free.toSorted((a, b) => a.start - b.start),
    [
      { start: one, end: one + 56 },
      { start: three, end: three + 56 },
      { start: joined, end: joined + 304 },
      { start: top + 16, end: HEAP + HEAP_BYTES },
    ],
  );
  assert.ok(malloc.chunks.startingAt(two) >= 0);
});

test("a heap whose chunks do not lead to its end is not known", () => {
  const patient = new Patient();
  patient.chunk(64);
  const damaged = patient.chunk(64);
  patient.chunk(64);
  patient.set(damaged - 8, 24 + 1);
  assert.equal(patient.read().malloc.isWhole, false);
});

test("lists of V8 that hold nothing alive are told by their form", () => {
  const patient = new Patient();
  const reference = 0x1234_5679;
  const segment = patient.chunk(544);
  patient.set(segment, 64 + 60 * 65_536);
  const kept = patient.chunk(528);
  for (let at = 0; at < 512; at += 8) patient.set(kept + at, reference);
  const unwritten = patient.chunk(4_096);
  patient.set(unwritten, ARENA + 112);
  const nodes = patient.chunk(8_272);
  for (let index = 0; index < 256; index += 1) {
    const state = index === 7 ? 1 : 2;
    patient.set(nodes + 32 * index, reference);
    patient.bytes.set([index, state], nodes + 32 * index + 10 - HEAP);
  }
  const { malloc, memory } = patient.read();
  const ignored = RangeList.of([...holdNothing(memory, malloc)]);
  const isIgnored = (address: number): boolean =>
    ignored.startOf(ignored.after(address)) <= address;
  assert.ok(isIgnored(segment + 16) && isIgnored(unwritten + 2_000));
  assert.ok(!isIgnored(kept) && !isIgnored(nodes + 32 * 7));
  assert.ok(isIgnored(nodes) && isIgnored(nodes + 32 * 255));
});

test("of a hash table only the entries count, of a set of slots nothing", () => {
  const patient = new Patient();
  const reference = 0x1234_5679;
  const capacity = 127;
  // growth left, a byte for each slot, the end, 15 of them again, slots of 16 bytes
  const table = patient.chunk(2_208);
  const of = (slot: number): number => table + 152 + 16 * slot;
  const number = (address: number): number => address - HEAP;
  patient.bytes.fill(0x80, number(table + 8), number(table + 8 + capacity));
  patient.bytes[number(table + 8 + capacity)] = 0xff;
  for (const slot of [3, 90]) patient.bytes[number(table + 8 + slot)] = 0x11;
  patient.bytes.copy(
    patient.bytes,
    number(table + 8 + capacity + 1),
    number(table + 8),
    number(table + 23),
  );
  patient.set(table, 112 - 2);
  for (let slot = 0; slot < capacity; slot += 1) patient.set(of(slot), reference);
  // 32 cells of a set of slots, and behind them what nobody asked for
  const [cells, words] = [patient.chunk(144), patient.chunk(144)];
  patient.set(cells + 48, 0x3f_ffff);
  for (const each of [cells, words]) patient.set(each + 128, reference);
  patient.set(words, table);
  // as a table, but it has more entries than it can have
  const other = patient.chunk(2_208);
  patient.bytes.copy(patient.bytes, number(other), number(table), number(table) + 2_190);
  patient.set(other, 500);
  const { malloc, memory } = patient.read();
  const ignored = RangeList.of([...holdNothing(memory, malloc)]);
  const isIgnored = (address: number): boolean =>
    ignored.startOf(ignored.after(address)) <= address;
  for (let slot = 0; slot < capacity; slot += 1)
    assert.equal(isIgnored(of(slot)), slot !== 3 && slot !== 90, `slot ${slot}`);
  assert.ok(!isIgnored(other) && !isIgnored(other + 160));
  assert.ok(isIgnored(cells + 128) && !isIgnored(words + 128));
});
