import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { oneRegion } from "../../../test/support/one-region.ts";
import { HANDLE_BLOCK_BYTES, handleBlocks } from "./handle-blocks.ts";

const ISOLATE = 0x10_0000;
const SCOPES = ISOLATE + 0x4_0000;
const LIST = SCOPES + 0x100;
const [FIRST, LAST] = [SCOPES + 0x1000, SCOPES + 0x4000];

class Sketch {
  readonly #bytes = Buffer.alloc(0x5_0000);

  put(address: number, ...words: readonly number[]): this {
    for (const [index, word] of words.entries())
      this.#bytes.writeBigUInt64LE(BigInt(word), address - ISOLATE + 8 * index);
    return this;
  }

  blocks() {
    return handleBlocks(oneRegion(ISOLATE, this.#bytes).memory, ISOLATE);
  }
}

/** Two blocks, of which the last has three handles. */
function isolate(): Sketch {
  return new Sketch()
    .put(ISOLATE + 0x230, LAST + 24, LAST + HANDLE_BLOCK_BYTES, 2)
    .put(ISOLATE + 0x8000, SCOPES)
    .put(SCOPES, ISOLATE, LIST, 8, 2)
    .put(LIST, FIRST, LAST);
}

describe("open handles of an isolate", () => {
  const expected = [
    { start: FIRST, bytes: HANDLE_BLOCK_BYTES },
    { start: LAST, bytes: 24 },
  ];

  it("end in the last block at the next one", () => {
    assert.deepEqual(isolate().blocks(), expected);
  });

  it("are not what another object of the isolate has where the list would be", () => {
    const other = SCOPES + 0x800;
    const sketch = isolate().put(ISOLATE + 0x100, other);
    for (const list of [other + 64, 0, 0xffff_0000])
      // of nothing; nowhere
      assert.deepEqual(sketch.put(other, ISOLATE, list, 4, 1).blocks(), expected);
  });

  it("are none where the next one lies in no block", () => {
    const sketch = isolate().put(ISOLATE + 0x230, LAST + HANDLE_BLOCK_BYTES + 8, 2 ** 40);
    assert.deepEqual(sketch.blocks(), []);
  });
});
