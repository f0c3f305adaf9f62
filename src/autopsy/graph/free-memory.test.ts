import assert from "node:assert/strict";
import { test } from "node:test";
import { RegionMemory } from "../target/memory.ts";
import type { Mapping } from "../target/target.ts";
import { freeChunks } from "./free-memory.ts";

const START = 0x10_0000;

function heapOf(sizes: readonly number[], isFree: (index: number) => boolean) {
  const bytes = Buffer.alloc(sizes.reduce((total, size) => total + size, 0));
  let at = 0;
  for (const [index, size] of sizes.entries()) {
    bytes.writeUInt32LE(size + (index > 0 && isFree(index - 1) ? 0 : 1), at + 8);
    at += size;
  }
  const end = START + bytes.length;
  const region = {
    start: START,
    end,
    read: (offset: number, into: Buffer) => bytes.copy(into, 0, offset, offset + into.length),
  };
  const mapping: Mapping = {
    start: START,
    end,
    fileOffset: 0,
    path: null,
    isReadable: true,
    isWritable: true,
    isExecutable: false,
    presentBytes: bytes.length,
  };
  return { memory: new RegionMemory([region], 4096), mapping, end };
}

test("free chunks of a heap of glibc, the rest at its end among them", () => {
  const sizes = Array.from({ length: 100 }, (_, index) => 32 + 16 * (index % 5));
  sizes[99] = 8_192 - sizes.slice(0, 99).reduce((total, size) => total + size, 0); // whole pages
  const { memory, mapping, end } = heapOf(sizes, (index) => index === 7);
  const at = START + sizes.slice(0, 7).reduce((total, size) => total + size, 0);
  assert.deepEqual(freeChunks(memory, mapping), [
    { start: at + 16, end: at + (sizes[7] ?? 0) },
    { start: end - (sizes[99] ?? 0) + 16, end },
  ]);
});

test("what is no heap, or a damaged one, has none that are believed", () => {
  const few = heapOf([32, 48, 4_016], () => true);
  assert.deepEqual(freeChunks(few.memory, few.mapping), []);
  const sizes = Array.from({ length: 200 }, (_, index) => (index === 20 ? 24 : 32));
  const damaged = heapOf(sizes, () => true);
  assert.deepEqual(freeChunks(damaged.memory, damaged.mapping), []);
  const zeros = heapOf([0x1000], () => false);
  assert.deepEqual(freeChunks(zeros.memory, { ...zeros.mapping, start: START + 64 }), []);
});
