import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { checkTarget, isOld, signalsIn } from "./attach-target.ts";

const ROOT = 0x1000;
const LEFT = 0x2000;
const RIGHT = 0x3000;

/** A root that points at LEFT, whose right child is RIGHT. */
function tree(change: (left: Buffer, right: Buffer) => void = () => undefined): {
  read(address: number, length: number): Buffer | null;
} {
  const root = Buffer.alloc(8);
  root.writeBigUInt64LE(BigInt(LEFT));
  const [left, right] = [handle(2), handle(10)];
  left.writeBigUInt64LE(BigInt(RIGHT), 120);
  change(left, right);
  const memory = new Map([
    [ROOT, root],
    [LEFT, left],
    [RIGHT, right],
  ]);
  return { read: (address, length) => memory.get(address)?.subarray(0, length) ?? null };
}

function handle(signal: number): Buffer {
  const bytes = Buffer.alloc(128);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt32LE(signal, 104);
  return bytes;
}

describe("the signals that a process listens to", () => {
  it("are read from libuv's tree", () => {
    assert.deepEqual(signalsIn(tree(), ROOT), [2, 10]);
    assert.deepEqual(signalsIn({ read: () => Buffer.alloc(8) }, ROOT), []);
  });

  it("are exact whatever stands in the padding behind a number", () => {
    // as one word it is above 2^53, and was rounded: SIGUSR1 was not found, and was sent
    const memory = tree((_, right) => void right.writeUInt32LE(0x5f_0064, 108));
    assert.deepEqual(signalsIn(memory, ROOT), [2, 10]);
  });

  const broken: Record<string, (left: Buffer, right: Buffer) => void> = {
    "a handle of another type": (_, right) => void right.writeUInt32LE(13, 16),
    "no number of a signal": (_, right) => void right.writeUInt32LE(65, 104),
    "memory that is not there": (left) => void left.writeBigUInt64LE(1n << 60n, 112),
    "a circle": (_, right) => void right.writeBigUInt64LE(BigInt(LEFT), 120),
  };
  for (const [name, change] of Object.entries(broken)) {
    it(`are unknown with ${name}`, () => assert.equal(signalsIn(tree(change), ROOT), null));
  }
});

describe("a process that cannot be attached to", () => {
  it("is one in another container", (t) => {
    const proc = mkdtempSync(path.join(os.tmpdir(), "holdfast-proc-"));
    t.after(() => rmSync(proc, { recursive: true }));
    for (const [process, net] of [
      ["self", "net:[4026531840]"],
      ["4711", "net:[4026532281]"],
    ] as const) {
      mkdirSync(path.join(proc, process, "ns"), { recursive: true });
      for (const name of ["mnt", "pid"]) symlinkSync(`${name}:[1]`, nsOf(process, name));
      symlinkSync(net, nsOf(process, "net"));
      writeFileSync(path.join(proc, process, "status"), "SigCgt:\t0000000188004202\n");
    }
    const refused = /4711: it is in another container: run holdfast there\. Nothing was done to it/;
    assert.throws(() => checkTarget(4711, proc), refused);

    function nsOf(process: string, name: string): string {
      return path.join(proc, process, "ns", name);
    }
  });

  it("is one whose Node is too old, by the V8 that its binary names", () => {
    for (const old of ["11.3.244.8-node.30", "12.3.219.16-node.1"]) assert.ok(isOld(old), old);
    for (const known of ["12.4.254.21-node.33", "13.6.233.17-node.53", "14.6.202.33-node.18", ""])
      assert.ok(!isOld(known), known);
  });
});
