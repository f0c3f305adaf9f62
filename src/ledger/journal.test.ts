import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BLOCK_PAYLOAD_BYTES, JournalArena } from "./journal.ts";
import {
  INBOX_BYTES,
  JOURNAL_BLOCKS,
  JOURNAL_BLOCK_BYTES,
  arenaOffset,
  ledgerBytes,
} from "./layout.ts";
import type { LedgerShape } from "./layout.ts";

const SHAPE: LedgerShape = { connectionsMax: 4, workersMax: 2 };
const ROW = 1;

interface Fixture {
  readonly memory: ArrayBuffer;
  readonly arena: JournalArena;
  /** Sets the next-block word of a block, as a writer gone mad would. */
  readonly setNext: (block: number, word: number) => void;
}

function fixture(): Fixture {
  const memory = new ArrayBuffer(ledgerBytes(SHAPE));
  const words = new Int32Array(memory, arenaOffset(SHAPE, ROW) + INBOX_BYTES);
  return {
    memory,
    arena: new JournalArena(memory, SHAPE, ROW),
    setNext: (block, word) => {
      words[block * (JOURNAL_BLOCK_BYTES >> 2)] = word;
    },
  };
}

/** Writes bytes into a new chain, as the account of a connection does. */
function store(arena: JournalArena, bytes: Buffer, throughInbox = false): number {
  let first = -1;
  let last = -1;
  if (throughInbox) bytes.copy(arena.inbox);
  for (let at = 0; at === 0 || at < bytes.length; at += BLOCK_PAYLOAD_BYTES) {
    last = arena.allocate(last);
    if (last < 0) {
      if (first >= 0) arena.release(first);
      return -1;
    }
    if (first < 0) first = last;
    const end = Math.min(at + BLOCK_PAYLOAD_BYTES, bytes.length);
    const source = throughInbox ? arena.inboxView(bytes.length) : bytes;
    arena.write(source.subarray(at, end), last, 0);
  }
  return first;
}

describe("the journal's arena", () => {
  it("gives back what is behind a block, which is then the last", () => {
    const { arena } = fixture();
    const bytes = randomBytes(3 * BLOCK_PAYLOAD_BYTES);
    const all = arena.freeBlocks;
    const first = store(arena, bytes);
    arena.releaseBehind(first);
    assert.equal(arena.freeBlocks, all - 1);
    assert.deepEqual(
      arena.read(first, BLOCK_PAYLOAD_BYTES),
      bytes.subarray(0, BLOCK_PAYLOAD_BYTES),
    );
    assert.equal(arena.read(first, BLOCK_PAYLOAD_BYTES + 1), null);
    arena.releaseBehind(first);
    assert.equal(arena.freeBlocks, all - 1);
    arena.release(first);
    assert.equal(arena.freeBlocks, all);
  });

  it("gives back what was written, from the inbox and from elsewhere", () => {
    const { arena, memory } = fixture();
    const reader = new JournalArena(memory, SHAPE, ROW);
    for (const length of [0, 1, BLOCK_PAYLOAD_BYTES, BLOCK_PAYLOAD_BYTES + 1, INBOX_BYTES]) {
      for (const throughInbox of [false, true]) {
        const bytes = randomBytes(length);
        const first = store(arena, bytes, throughInbox);
        assert.deepEqual(reader.read(first, length), bytes);
      }
    }
  });

  it("keeps apart the chains of many connections, whatever is released when", () => {
    const { arena } = fixture();
    const step = fc.record({ length: fc.integer({ min: 1, max: 9000 }), drop: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const live: { first: number; bytes: Buffer }[] = [];
        for (const { length, drop } of steps) {
          const bytes = Buffer.alloc(length, length & 0xff);
          live.push({ first: store(arena, bytes), bytes });
          if (drop % 2 === 0) {
            const [gone] = live.splice(drop % live.length, 1);
            if (gone !== undefined) arena.release(gone.first);
          }
        }
        for (const { first, bytes } of live) {
          assert.ok(arena.read(first, bytes.length)?.equals(bytes));
          arena.release(first);
        }
        assert.equal(arena.freeBlocks, JOURNAL_BLOCKS);
      }),
      { numRuns: 30 },
    );
  });

  it("says when no block is free, and goes on when one is again", () => {
    const { arena } = fixture();
    const chain = arena.allocate(-1);
    for (let last = chain; arena.freeBlocks > 1;) last = arena.allocate(last);
    assert.equal(arena.freeBlocks, 1);
    assert.equal(store(arena, Buffer.alloc(2 * BLOCK_PAYLOAD_BYTES)), -1);
    assert.equal(arena.freeBlocks, 1, "what was taken in vain is free again");
    const last = arena.allocate(-1);
    assert.ok(last >= 0);
    assert.equal(arena.allocate(last), -1);
    arena.release(chain);
    arena.release(last);
    assert.equal(arena.freeBlocks, JOURNAL_BLOCKS);
  });

  it("does not touch another worker's arena", () => {
    const { arena, memory } = fixture();
    const start = arenaOffset(SHAPE, ROW);
    arena.inbox.fill(0xff);
    for (let block = 0; arena.freeBlocks > 0;) block = arena.allocate(block);
    arena.write(Buffer.alloc(BLOCK_PAYLOAD_BYTES, 0xff), 0, 0);
    arena.write(Buffer.alloc(BLOCK_PAYLOAD_BYTES, 0xff), JOURNAL_BLOCKS - 1, 0);
    assert.ok(Buffer.from(memory, 0, start).equals(Buffer.alloc(start)));
    const end = start + INBOX_BYTES + JOURNAL_BLOCKS * JOURNAL_BLOCK_BYTES;
    assert.ok(Buffer.from(memory, end).equals(Buffer.alloc(ledgerBytes(SHAPE) - end)));
  });

  it("refuses a chain that is none, and lengths that cannot be", () => {
    const { arena, setNext } = fixture();
    const bytes = 3 * BLOCK_PAYLOAD_BYTES;
    const first = store(arena, Buffer.alloc(bytes));
    for (const word of [-1, -0x8000_0000, JOURNAL_BLOCKS + 1, 0x7fff_ffff, 0]) {
      setNext(first, word);
      assert.equal(arena.read(first, bytes), null, `next word ${word}`);
    }
    for (const block of [-1, JOURNAL_BLOCKS, 0x7fff_ffff, Number.NaN, 1.5]) {
      assert.equal(arena.read(block, 10), null, `first block ${block}`);
    }
    for (const length of [-1, -0x8000_0000, 0x7fff_ffff]) {
      assert.equal(arena.read(first, length), null, `${length} bytes`);
    }
  });

  it("survives a chain that bites its own tail: reading ends, releasing ends", () => {
    const { arena, setNext } = fixture();
    const first = store(arena, Buffer.alloc(2 * BLOCK_PAYLOAD_BYTES));
    setNext(first, first + 1);
    const all = JOURNAL_BLOCKS * BLOCK_PAYLOAD_BYTES;
    assert.equal(arena.read(first, all)?.length, all);
    arena.release(first);
    assert.ok(arena.freeBlocks <= JOURNAL_BLOCKS);
  });

  it("releasing a chain with an impossible link frees nothing that does not exist", () => {
    for (const word of [-5, JOURNAL_BLOCKS + 7, 0x7fff_ffff]) {
      const { arena, setNext } = fixture();
      const first = store(arena, Buffer.alloc(2 * BLOCK_PAYLOAD_BYTES));
      setNext(first, word);
      arena.release(first);
      // what was freed last is allocated first
      const [block, other] = [arena.allocate(-1), arena.allocate(-1)];
      assert.equal(block, first, `after next word ${word}`);
      assert.ok(other >= 0 && other < JOURNAL_BLOCKS, `${other} after next word ${word}`);
    }
  });
});
