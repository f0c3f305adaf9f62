import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { OwnHeap } from "./own-heap.ts";

const MIB = 1024 * 1024;

describe("the heap of the agent's own thread", () => {
  beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
  afterEach(() => mock.timers.reset());

  it("is collected after the start, and when it has grown and nothing is to be done", () => {
    let bytes = 10 * MIB;
    let collections = 0;
    const collect = (): void => {
      collections += 1;
      bytes = 7 * MIB;
    };
    const heap = new OwnHeap({ bytes: () => bytes, collect });
    mock.timers.tick(999);
    assert.equal(collections, 0);
    mock.timers.tick(1);
    assert.equal(collections, 1);
    heap.used();
    mock.timers.tick(60_000);
    assert.equal(collections, 1, "as it has not grown");
    bytes = 9 * MIB;
    for (let task = 0; task < 5; task += 1) {
      heap.used();
      mock.timers.tick(9999);
    }
    assert.equal(collections, 1, "as somebody goes on asking");
    mock.timers.tick(1);
    assert.equal(collections, 2);
  });
});
