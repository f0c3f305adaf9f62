import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { NotInMemory, RegionMemory } from "./memory.ts";
import type { Region } from "./memory.ts";

const PAGE = 4096;

/** A region whose bytes are known: each is the low byte of its address times three. */
function region(start: number, end: number, readable = end): Region {
  return {
    start,
    end,
    read(offset, into) {
      const count = Math.max(0, Math.min(into.length, readable - start - offset));
      for (let index = 0; index < count; index += 1) into[index] = byteAt(start + offset + index);
      return count;
    },
  };
}

function byteAt(address: number): number {
  return (address * 3 + Math.floor(address / 251)) & 0xff;
}

describe("memory made of regions", () => {
  it("reads what is there, and nothing else", () => {
    const bounds = fc.integer({ min: 0, max: 40 });
    const spans = fc.array(fc.tuple(bounds, fc.integer({ min: 1, max: 5 })), { maxLength: 6 });
    const blockPages = fc.constantFrom(1, 4, 16);
    const access = fc.tuple(
      fc.integer({ min: 0, max: 48 * PAGE }),
      fc.integer({ min: 0, max: 3 * PAGE }),
    );
    fc.assert(
      fc.property(spans, blockPages, fc.array(access, { maxLength: 20 }), (parts, pages, reads) => {
        const regions: Region[] = [];
        let free = 0;
        for (const [start, length] of parts.toSorted(([a], [b]) => a - b)) {
          if (start < free) continue;
          regions.push(region(start * PAGE, (start + length) * PAGE));
          free = start + length;
        }
        const isThere = (address: number): boolean =>
          regions.some(({ start, end }) => address >= start && address < end);
        const memory = new RegionMemory(regions, pages * PAGE);
        for (const [address, length] of reads) {
          const into = Buffer.alloc(length);
          let expected = 0;
          while (expected < length && isThere(address + expected)) expected += 1;
          assert.equal(memory.readInto(address, into), expected);
          for (let index = 0; index < expected; index += 97) {
            assert.equal(into[index], byteAt(address + index));
          }
          assert.equal(memory.read(address, length) === null, expected < length);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("words: aligned, unaligned, across pages and blocks", () => {
    const memory = new RegionMemory([region(PAGE, 9 * PAGE)], PAGE);
    for (const address of [PAGE, PAGE + 1, 2 * PAGE - 3, 2 * PAGE - 4, 3 * PAGE - 7]) {
      const bytes = Buffer.from(Array.from({ length: 8 }, (_, index) => byteAt(address + index)));
      assert.equal(memory.u8(address), bytes[0]);
      assert.equal(memory.u16(address), bytes.readUInt16LE(0));
      assert.equal(memory.u32(address), bytes.readUInt32LE(0));
      assert.equal(memory.i32(address), bytes.readInt32LE(0));
      assert.equal(memory.bigWord(address), bytes.readBigUInt64LE(0));
      assert.equal(memory.word(address), Number(bytes.readBigUInt64LE(0)));
      assert.ok(Object.is(memory.f64(address), bytes.readDoubleLE(0)));
    }
  });

  it("what is not there throws, whatever the address", () => {
    const memory = new RegionMemory([region(PAGE, 2 * PAGE)], 4 * PAGE);
    const addresses = [0, -8, 0.5, Number.NaN, Infinity, 2 ** 60, PAGE - 1, 2 * PAGE];
    for (const address of addresses) {
      assert.throws(() => memory.u8(address), NotInMemory);
      assert.throws(() => memory.u32(address), NotInMemory);
      assert.throws(() => memory.word(address), NotInMemory);
      assert.equal(memory.read(address, 8), null);
    }
    assert.throws(() => memory.word(2 * PAGE - 4), NotInMemory);
    assert.equal(memory.read(PAGE, -1), null);
    assert.equal(memory.read(PAGE, Number.NaN), null);
  });

  it("a region that ends too early is there up to its last whole page", () => {
    const memory = new RegionMemory([region(0, 4 * PAGE, 2 * PAGE + 100)], 16 * PAGE);
    assert.equal(memory.readInto(0, Buffer.alloc(4 * PAGE)), 2 * PAGE);
  });
});
