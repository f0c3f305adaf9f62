import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { forkRanges, knownMappings } from "./fork-ranges.ts";
import { parseMaps } from "./live-memory.ts";

const line = (start: number, end: number, path = "", rights = "rw-p"): string =>
  `${start.toString(16)}-${end.toString(16)} ${rights} 00000000 00:00 0 ${path}`;
const smaps = (head: string, flags: string): string =>
  `${head}\nSize: 4 kB\nRss: 4 kB\nVmFlags: rd wr mr mw me ac ${flags}\n`;

const TEXT = line(0x1000, 0x2000, "/usr/bin/node", "r-xp");
const HEAP = [line(0x3000, 0x4000), line(0x6000, 0x7000), line(0x9000, 0xa000)] as const;
const STACK = line(0xf000, 0x10000, "[stack]");
const KNOWN = knownMappings(
  [
    smaps(TEXT, "sd"),
    ...HEAP.map((head) => smaps(head, "dc sd")),
    smaps(line(0xc000, 0xd000), "sd"),
    smaps(STACK, "gd"),
  ].join(""),
);

const rangesOf = (lines: readonly string[]): ReturnType<typeof forkRanges> =>
  forkRanges(parseMaps(lines.join("\n")), KNOWN);

describe("forkRanges()", () => {
  it("joins neighbours that are withheld, over what is not mapped", () => {
    const { given, takenBack } = rangesOf([TEXT, ...HEAP, line(0xc000, 0xd000), STACK]);
    assert.deepEqual(given, [[0x3000, 0xa000]]);
    assert.deepEqual(takenBack, given);
  });

  it("gives what is new, and does not take it back", () => {
    const [first, ...others] = HEAP;
    const fresh = line(0x4000, 0x5000);
    const { given, takenBack } = rangesOf([TEXT, first, fresh, ...others, STACK]);
    assert.deepEqual(given, [[0x3000, 0xa000]]);
    assert.deepEqual(takenBack, [
      [0x3000, 0x4000],
      [0x6000, 0xa000],
    ]);
  });

  it("never reaches over a mapping that children get, that is shared, or that has a name", () => {
    const [first, second, third] = HEAP;
    for (const between of [
      line(0xc000, 0xd000).replace(/c000-d000/u, "4000-5000"),
      line(0x4000, 0x5000, "", "rw-s"),
      line(0x4000, 0x5000, "/memfd:ledger (deleted)"),
    ]) {
      const known = new Map([...KNOWN, [0x4000, { end: 0x5000, isWithheld: false }] as const]);
      const mappings = parseMaps([first, between, second, third].join("\n"));
      assert.deepEqual(forkRanges(mappings, known).given, [
        [0x3000, 0x4000],
        [0x6000, 0xa000],
      ]);
    }
    const shared = rangesOf([first, line(0x4000, 0x5000, "", "rw-s"), second]);
    assert.deepEqual(shared.given, [
      [0x3000, 0x4000],
      [0x6000, 0x7000],
    ]);
  });

  it("gives nothing where nothing is withheld", () => {
    assert.deepEqual(rangesOf([TEXT, line(0xc000, 0xd000), STACK]), { given: [], takenBack: [] });
  });
});
