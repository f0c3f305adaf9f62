import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Crowd } from "./crowd.ts";

describe("a crowd", () => {
  it("has who came and did not go (property)", () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(9)), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (changes) => {
        const members = Array.from({ length: 10 }, () => ({ place: -1 }));
        const [crowd, expected] = [new Crowd<{ place: number }>(), new Set<object>()];
        for (const [comes, which] of changes) {
          const member = members[which];
          assert.ok(member);
          if (comes) crowd.add(member);
          else crowd.delete(member);
          if (comes) expected.add(member);
          else expected.delete(member);
          assert.equal(crowd.size, expected.size);
          assert.deepEqual(new Set(crowd), expected);
        }
      }),
    );
  });

  it("can be walked through while its members go", () => {
    const members = Array.from({ length: 5 }, () => ({ place: -1 }));
    const crowd = new Crowd<{ place: number }>();
    for (const member of members) crowd.add(member);
    let seen = 0;
    for (const member of crowd) {
      seen += 1;
      crowd.delete(member);
    }
    assert.deepEqual([seen, crowd.size], [5, 0]);
  });

  // members of 4 KiB, 64 at a time, through the young generation of a process of their own
  const passing = (made: string): number => {
    const source = `
      const { Crowd } = await import(${JSON.stringify(new URL("crowd.ts", import.meta.url))});
      const here = ${made}, recent = [];
      for (let n = 0; n < 200_000; n += 1) {
        const member = { place: -1, load: new Array(512).fill(n) };
        here.add(member);
        recent.push(member);
        if (recent.length > 64) here.delete(recent.shift());
        if (n === 100) gc(); // what is there now is old
      }
      const old = process.getBuiltinModule("node:v8").getHeapSpaceStatistics();
      console.log(old.find((each) => each.space_name === "old_space").space_used_size);`;
    const flags = ["--expose-gc", "--max-semi-space-size=2", "--initial-old-space-size=2000"];
    const args = [...flags, "--input-type=module", "-e", source];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.match(stdout, /^\d+\n$/, stderr);
    return Number(stdout) / 2 ** 20;
  };

  it("keeps no member alive that has gone, which a Set does", () => {
    const [crowd, set] = [passing("new Crowd()"), passing("new Set()")];
    assert.ok(crowd < 30, `${crowd} MiB in the old generation`);
    assert.ok(set > 10 * crowd, `${set} MiB, else there is no reason for a crowd any more`);
  });
});
