import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { CUT_OFF, Lz4Decoder, decodeBlock } from "./lz4.ts";

/** A frame of blocks: flags, then each block with its size; bit 31: not compressed. */
function frame(blocks: readonly Buffer[], { isPlain = false, flags = 0x60 } = {}): Buffer {
  const header = Buffer.from([0x04, 0x22, 0x4d, 0x18, flags, 0x40, 0]);
  const parts = blocks.map((block) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE((block.length | (isPlain ? 0x8000_0000 : 0)) >>> 0);
    return Buffer.concat([size, block]);
  });
  return Buffer.concat([header, ...parts, Buffer.alloc(4)]);
}

function decode(bytes: Buffer, pieceBytes = bytes.length): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const decoder = new Lz4Decoder();
    const chunks: Buffer[] = [];
    decoder.on("data", (chunk: Buffer) => chunks.push(chunk));
    decoder.on("end", () => resolve(Buffer.concat(chunks)));
    decoder.on("error", reject);
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      decoder.write(bytes.subarray(at, at + pieceBytes));
    }
    decoder.end();
  });
}

describe("LZ4 frames", () => {
  it("literals, a match, and a match that runs into what it writes", () => {
    // "abcd", then 8 bytes from 4 back; "x", then 10 from 1 back; the end "."
    const block = Buffer.from([0x44, ...Buffer.from("abcd"), 4, 0, 0x16, 0x78, 1, 0, 0x10, 0x2e]);
    assert.equal(decodeBlock(block, Buffer.alloc(0), 100).toString(), "abcdabcdabcdxxxxxxxxxxx.");
  });

  it("in pieces of every size; linked blocks; several frames; a skippable one", async () => {
    const first = Buffer.from([0x40, ...Buffer.from("abcd")]);
    const second = Buffer.from([0x00, 4, 0, 0x10, 0x21]); // 4 bytes of the block before, then "!"
    const linked = frame([first, second], { flags: 0x40 });
    const skipped = Buffer.concat([
      Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]),
      Buffer.alloc(3),
    ]);
    const plain = frame([Buffer.from("plain")], { isPlain: true });
    const all = Buffer.concat([linked, skipped, plain]);
    for (let piece = 1; piece <= all.length; piece += 1) {
      assert.equal((await decode(all, piece)).toString(), "abcdabcd!plain");
    }
  });

  it("cut off anywhere: says so", async () => {
    const whole = frame([Buffer.from([0x40, ...Buffer.from("abcd")])]);
    for (let length = 1; length < whole.length; length += 1) {
      await assert.rejects(decode(whole.subarray(0, length)), { message: CUT_OFF });
    }
  });

  it("garbage is refused or decoded, never endless, never beyond its bounds", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        const block = Buffer.from(bytes);
        try {
          assert.ok(decodeBlock(block, Buffer.alloc(16), 64 * 1024).length <= 64 * 1024);
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
        }
        await decode(frame([block])).catch((error: unknown) =>
          assert.ok(error instanceof RangeError),
        );
      }),
      { numRuns: 100 },
    );
  });
});
