import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { SymbolTable } from "./symbols.ts";

const [OBJECT, FUNCTION, TLS, FILE] = [1, 2, 6, 4];

interface Entry {
  readonly name: string;
  readonly type: number;
  readonly section: number;
  readonly address: number;
  readonly bytes: number;
}

function source(entries: readonly Entry[]) {
  const strings: Buffer[] = [Buffer.from("\0")];
  let length = 1;
  const symbols = entries.map(({ name, type, section, address, bytes }) => {
    const each = Buffer.alloc(24);
    each.writeUInt32LE(length, 0);
    each.writeUInt8(type, 4);
    each.writeUInt16LE(section, 6);
    each.writeBigUInt64LE(BigInt(address), 8);
    each.writeBigUInt64LE(BigInt(bytes), 16);
    strings.push(Buffer.from(`${name}\0`, "latin1"));
    length += name.length + 1;
    return each;
  });
  return { entries: Buffer.concat(symbols), strings: Buffer.concat(strings) };
}

const entry = fc.record({
  name: fc.string({ minLength: 1, maxLength: 4, unit: fc.constantFrom("_", "Z", "N", "a") }),
  type: fc.constantFrom(0, OBJECT, FUNCTION, TLS, FILE, 10),
  section: fc.constantFrom(0, 1, 9),
  address: fc.oneof(fc.nat(40), fc.constantFrom(0xffff_fff0, 0x1_0000_0000, 0x7fff_0000_0000)),
  bytes: fc.nat(20),
});

const isThere = ({ type, section }: Entry): boolean => section !== 0 && type !== FILE;
const isFunction = ({ type, section }: Entry): boolean => {
  return section !== 0 && (type === FUNCTION || type === 10);
};

describe("a table of symbols", () => {
  it("finds what a search from one to the next finds", () => {
    fc.assert(
      fc.property(fc.array(fc.array(entry, { maxLength: 20 }), { maxLength: 3 }), (lists) => {
        const table = new SymbolTable(lists.map(source));
        const all = lists.flat();
        const isKnown = all.length % 2 === 0; // then `named` is asked what was found before
        if (isKnown) assert.ok([...table.beginning("a", "_ZN", "_a", "Z")].length <= all.length);
        else table.expect("_", "_Z", "N");
        for (const { name } of [...all, { name: "N" }, { name: "_Za" }]) {
          const found = table.named(name);
          const first = all.find((each) => isThere(each) && each.name === name);
          assert.equal(found?.address, first?.address);
          assert.equal(found?.bytes, first?.bytes);
          const begun = [...table.beginning(name, "N")].map((symbol) => symbol.name);
          const wanted = [name, "N"].flatMap((prefix) => {
            return all.filter((each) => isThere(each) && each.name.startsWith(prefix));
          });
          assert.deepEqual(begun, [...new Set(wanted.map((each) => each.name))]);
        }
        const sorted = all.filter(isFunction).toSorted((a, b) => a.address - b.address);
        for (const address of [0, 7, 20, 59, 0xffff_fff8, 0x1_0000_0003, 0x7fff_0000_0005]) {
          const near = sorted.filter((each) => each.address <= address).slice(-8);
          const reached = near.findLast(({ address: from, bytes }) => {
            return address - from < (bytes === 0 ? 65_536 : bytes);
          });
          const found = table.at(address);
          assert.equal(found?.symbol.name, reached?.name);
          assert.equal(
            found?.offset,
            reached === undefined ? undefined : address - reached.address,
          );
        }
      }),
    );
  });

  it("survives names that lie outside, and ends that are missing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 40 }), (a, b) => {
        const table = new SymbolTable([{ entries: Buffer.from(a), strings: Buffer.from(b) }]);
        table.named("");
        table.named("x");
        assert.ok([...table.beginning("", "\0")].length <= a.length / 24);
        table.at(0);
        table.at(Number.MAX_SAFE_INTEGER);
      }),
    );
  });
});
