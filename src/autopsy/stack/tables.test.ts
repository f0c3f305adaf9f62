import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { bytecodeOffsetOfReturn, isBytecodeStart } from "./bytecode-offsets.ts";
import { ByteCursor } from "./byte-cursor.ts";
import { readSafepoints, safepointAt } from "./safepoints.ts";
import { decodeRawPosition, positionAt, sourcePositions } from "./source-positions.ts";
import { operationTableFor, readTranslation } from "./translations.ts";

/** 7 bits a byte, lowest first. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? byte + 128 : byte);
  } while (rest > 0);
  return bytes;
}
const signed = (value: number): number[] => unsigned(Math.abs(value) * 2 + (value < 0 ? 1 : 0));
const zigzag = (value: number): number[] => unsigned(value >= 0 ? value * 2 : -value * 2 - 1);

describe("integers of V8's tables", () => {
  it("reads what was written, up to 47 bits", () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 46), max: 2 ** 46 }), (value) => {
        assert.equal(
          new ByteCursor(Uint8Array.from(unsigned(Math.abs(value)))).unsigned(),
          Math.abs(value),
        );
        assert.equal(new ByteCursor(Uint8Array.from(signed(value))).signed() + 0, value + 0);
        assert.equal(new ByteCursor(Uint8Array.from(zigzag(value))).zigzag() + 0, value + 0);
      }),
    );
  });

  it("is broken behind the end, and stays so", () => {
    const cursor = new ByteCursor(Uint8Array.of(0x80));
    assert.equal(cursor.unsigned(), 0);
    assert.equal(cursor.isBroken, true);
    assert.equal(cursor.byte(), 0);
  });
});

describe("source positions", () => {
  // The tables of one function (`scale` of test/apps/autopsy) in Node 24 and 26, as they were in
  // memory,
  // beside what `--print-bytecode` says of it.
  const offsets = [-1, 0, 3, 8, 16, 24, 27];

  it("reads 13.6's table", () => {
    const table = Buffer.from("01c8030244074c0b281157118801061c", "hex");
    const seen = [...sourcePositions(table, "sign")];
    assert.deepEqual(seen.map(({ codeOffset }) => codeOffset).slice(0, 4), offsets.slice(0, 4));
    assert.deepEqual(seen.map(({ isStatement }) => isStatement).slice(0, 3), [false, true, false]);
  });

  it("reads 14.6's table, whose flags lie in the offset", () => {
    const table = Buffer.from("02c80307440e4c162822572288010f1c", "hex");
    const seen = [...sourcePositions(table, "flags")];
    assert.deepEqual(
      seen.map(({ codeOffset }) => codeOffset),
      offsets,
    );
    const columns = seen.map(({ scriptOffset }) => scriptOffset - (seen[1]?.scriptOffset ?? 0));
    assert.deepEqual(
      columns.slice(1),
      [0, 19, 29, 7, 41, 48].map((column) => column + 0),
    );
    assert.deepEqual(positionAt(table, "flags", 17)?.codeOffset, 16);
    assert.equal(positionAt(table, "flags", -2), null);
  });

  it("takes a raw position apart", () => {
    const raw = (12 + 1) * 2 + (3 + 1) * 2 ** 31;
    assert.deepEqual(decodeRawPosition(raw), { scriptOffset: 12, inliningId: 3 });
    assert.equal(decodeRawPosition(1), null);
    assert.equal(decodeRawPosition(0), null);
  });

  it("ends on garbage, and does not throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const format of ["sign", "flags"] as const) {
          for (const { scriptOffset } of sourcePositions(bytes, format))
            assert.ok(scriptOffset >= 0);
        }
      }),
    );
  });
});

describe("bytecode offsets of baseline code", () => {
  // Three bytecodes of one scale: sizes 1, 2 and 3; bytecode 0 is the prefix Wide.
  const sizes = {
    count: 8,
    sizes: Uint8Array.from([1, 1, 1, 1, 1, 1, 2, 3, 1, 1, 1, 1, 1, 1, 3, 5]),
  };
  const bytecodes = Uint8Array.from([5, 6, 0, 0, 7, 0, 0, 0, 0, 5]);

  it("finds the bytecode of a return address", () => {
    const table = Uint8Array.from([10, 4, 6, 8, 2]);
    const at = (offset: number) => bytecodeOffsetOfReturn(table, bytecodes, sizes, offset);
    assert.deepEqual([at(10), at(11), at(14), at(15), at(20), at(21)], [-1, 0, 0, 1, 1, 3]);
    assert.equal(at(1000), null);
  });

  it("knows where bytecodes start, and prefixes", () => {
    const starts = Array.from({ length: 10 }, (_, at) => at).filter((at) =>
      isBytecodeStart(bytecodes, sizes, at),
    );
    assert.deepEqual(starts.slice(0, 3), [0, 1, 3]);
    assert.equal(isBytecodeStart(bytecodes, sizes, 2), false);
  });
});

describe("safepoints", () => {
  // The table of `spread` (TurboFan, Node 24), as it was in memory: 16 entries, the first ones
  // whole.
  const header = Buffer.from("160000000200000001080000", "hex");
  const entries = Buffer.from("0601130005" + "4001140114", "hex");

  it("refuses tables that make no sense", () => {
    const table = Buffer.concat([header, entries]);
    const bounds = { codeBytes: 0x620, deoptCount: 34 };
    assert.equal(
      readSafepoints(Buffer.alloc(4), "turbofan", { hasStackSlots: true }, bounds),
      null,
    );
    const descending = Buffer.from(table);
    descending.writeUInt32LE(0xffff, 4);
    assert.equal(readSafepoints(descending, "turbofan", { hasStackSlots: true }, bounds), null);
  });

  it("reads what was written, in both headers", () => {
    const rows = [
      { pc: 0x106, deoptIndex: 18, trampoline: 0x5e4 },
      { pc: 0x140, deoptIndex: 19, trampoline: 0x5e8 },
    ];
    const configuration = 1 | (2 << 4) | (1 << 7);
    const bytes = rows.flatMap(({ pc, deoptIndex, trampoline }) => [
      pc & 255,
      pc >> 8,
      deoptIndex + 1,
      (trampoline + 1) & 255,
      (trampoline + 1) >> 8,
    ]);
    const bounds = { codeBytes: 0x620, deoptCount: 34 };
    for (const hasStackSlots of [false, true]) {
      const words = hasStackSlots ? [22, 2, configuration] : [2, configuration];
      const table = Buffer.concat([
        Buffer.from(Uint32Array.from(words).buffer),
        Buffer.from(bytes),
      ]);
      const seen = readSafepoints(table, "turbofan", { hasStackSlots }, bounds);
      assert.deepEqual(seen, rows);
      assert.equal(safepointAt(seen, 0x5e8)?.deoptIndex, 19);
      assert.equal(safepointAt(seen, 0x107), undefined);
      assert.equal(
        readSafepoints(table, "turbofan", { hasStackSlots }, { ...bounds, deoptCount: 19 }),
        null,
      );
    }
  });

  it("does not throw on garbage", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, hasStackSlots) => {
        const bounds = { codeBytes: 1000, deoptCount: 5 };
        for (const kind of ["maglev", "turbofan"] as const) {
          const seen = readSafepoints(Buffer.from(bytes), kind, { hasStackSlots }, bounds);
          assert.ok(seen === null || seen.every(({ pc }) => pc <= 1000));
        }
      }),
    );
  });
});

describe("translations", () => {
  // `TranslationOpcodeOperandCount::counts` of Node 22, and of 24 and 26, as the binaries have
  // them.
  const COUNTS = {
    old: "5,3,3,3,2,1,3,4,3,2,1,0,3,3,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,0,1,1,1,1,1,2,1",
    new:
      "6,4,3,3,2,1,3,4,3,3,3,1,0,0,3,3,1,1,1,0,1,1,1,1,1," +
      "1,1,1,1,1,1,1,1,1,1,1,1,0,1,1,1,1,1,2,1",
  };
  const tableOf = (name: keyof typeof COUNTS) => {
    const table = operationTableFor(COUNTS[name].split(",").map(Number));
    assert.ok(table);
    return table;
  };
  const code = (name: keyof typeof COUNTS, operation: string): number =>
    tableOf(name).findIndex((one) => one.name === operation);

  it("knows the operations of each version, and no others", () => {
    assert.equal(tableOf("old").length, 40);
    assert.equal(tableOf("new").length, 45);
    assert.equal(operationTableFor([1, 2, 3]), null);
  });

  it("reads values as a tree: a concatenation has two parts", () => {
    const at = (operation: string): number => code("new", operation);
    const bytes = [
      at("BEGIN_WITHOUT_FEEDBACK"),
      ...unsigned(0),
      ...signed(1),
      ...signed(1),

      at("INTERPRETED_FRAME_WITHOUT_RETURN"),
      ...signed(32),
      ...signed(1),
      ...signed(2),
      ...unsigned(3),
      at("LITERAL"),
      ...signed(1),
      at("TAGGED_STACK_SLOT"),
      ...signed(-1),
      at("STRING_CONCAT"),
      at("LITERAL"),
      ...signed(4),
      at("REGISTER"),
      ...unsigned(3),
      at("INT32_STACK_SLOT"),
      ...signed(6),
    ];
    const frames = readTranslation(tableOf("new"), Uint8Array.from(bytes), 0);
    assert.equal(frames?.length, 1);
    const [frame] = frames;
    assert.deepEqual([frame?.bytecodeOffset, frame?.functionLiteral, frame?.height], [32, 1, 3]);
    assert.deepEqual(
      frame?.values.map(({ kind }) => kind),
      ["literal", "slot", "concat", "slot"],
    );
    assert.deepEqual(frame.values[3], { kind: "slot", as: "int32", slot: 6 });
  });

  it("takes operations of an earlier translation", () => {
    const at = (operation: string): number => code("old", operation);
    const begin = (lookback: number): number[] => [
      at("BEGIN_WITHOUT_FEEDBACK"),
      ...unsigned(lookback),
      ...signed(1),
      ...signed(1),
    ];
    const frame = [
      at("INTERPRETED_FRAME_WITHOUT_RETURN"),
      ...signed(9),
      ...signed(0),
      ...unsigned(1),
    ];
    const first = [...begin(0), ...frame, at("LITERAL"), ...signed(7), at("OPTIMIZED_OUT")];
    // One byte says "the next two operations are those": opcode 40 + 2.
    const second = [...begin(first.length), 40 + 2, at("REGISTER"), ...unsigned(2)];
    const bytes = Uint8Array.from([...first, ...second]);
    const frames = readTranslation(tableOf("old"), bytes, first.length);
    assert.deepEqual(frames?.[0]?.values, [
      { kind: "literal", index: 7 },
      { kind: "register", as: "tagged", code: 2 },
    ]);
    assert.equal(frames[0].bytecodeOffset, 9);
  });

  it("gives up on garbage, and does not throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, index) => {
        for (const name of ["old", "new"] as const) readTranslation(tableOf(name), bytes, index);
      }),
    );
  });
});
