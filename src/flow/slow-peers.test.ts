import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Socket } from "node:net";
import { SlowPeers } from "./slow-peers.ts";

interface Fake {
  destroyed: boolean;
  writableLength: number;
  bytesWritten: number;
  bytesRead: number;
  parser: { incoming: { complete: boolean } | null };
}

/** What `SlowPeers` looks at of a socket. */
function fake(change: Partial<Fake> = {}): Fake & Socket {
  const made = {
    destroyed: false,
    writableLength: 0,
    bytesWritten: 0,
    bytesRead: 0,
    parser: { incoming: null },
    remoteAddress: "10.0.0.1",
    isPaused: () => false,
    resetAndDestroy(): void {
      this.destroyed = true;
    },
    ...change,
  };
  return made as unknown as Fake & Socket; // all that is used
}

function seconds(
  peers: SlowPeers,
  sockets: readonly Socket[],
  count: number,
  each?: () => void,
): void {
  for (let second = 1; second <= count; second += 1) {
    each?.();
    peers.look(sockets, 1000 * (second + 1000));
  }
}

describe("slow peers", () => {
  it("one that reads nothing is ended after the patience, one that reads slowly is not", () => {
    const peers = new SlowPeers({ patienceMs: 5000, leastRate: 100 });
    const stuck = fake({ writableLength: 5000, bytesWritten: 5000 });
    const slow = fake({ writableLength: 50_000, bytesWritten: 50_000 });
    const idle = fake();
    seconds(peers, [stuck, slow, idle], 5, () => (slow.writableLength -= 150));
    assert.equal(stuck.destroyed, false);
    seconds(peers, [stuck, slow, idle], 3, () => (slow.writableLength -= 150));
    peers.look([stuck], 2_000_000);
    peers.look([stuck], 2_006_000);
    assert.equal(stuck.destroyed, true);
    assert.equal(slow.destroyed, false);
    assert.equal(idle.destroyed, false);
    assert.equal(peers.ended["slow-reader"], 1);
  });

  it("a client that does not go on with its request is ended", () => {
    const peers = new SlowPeers({ patienceMs: 3000, leastRate: 100 });
    const silent = fake({ parser: { incoming: { complete: false } } });
    const whole = fake({ parser: { incoming: { complete: true } } });
    seconds(peers, [silent, whole], 6);
    assert.equal(silent.destroyed, true);
    assert.equal(whole.destroyed, false);
    assert.equal(peers.ended["slow-writer"], 1);
  });

  it("one that holds too much goes at once, and of all the worst first", () => {
    const peers = new SlowPeers({ connectionBytes: 10_000, totalBytes: 12_000 });
    const huge = fake({ writableLength: 10_001 });
    const sockets = [fake({ writableLength: 6000 }), fake({ writableLength: 9000 })];
    peers.look([huge, ...sockets], 1000);
    assert.equal(huge.destroyed, true);
    assert.deepEqual(
      sockets.map(({ destroyed }) => destroyed),
      [false, true],
    );
    assert.deepEqual(peers.ended, {
      "slow-reader": 0,
      "slow-writer": 0,
      "connection-bytes": 1,
      "total-bytes": 1,
    });
  });

  it("an observer ends nobody", () => {
    const peers = new SlowPeers({ connectionBytes: 10_000, mode: "observe" });
    const huge = fake({ writableLength: 10_001 });
    peers.look([huge], 1000);
    assert.equal(huge.destroyed, false);
    assert.equal(peers.ended["connection-bytes"], 1);
  });

  it("says what is wrong in its options", () => {
    assert.throws(() => new SlowPeers({ patienceMs: Number.NaN }), /patienceMs is NaN/);
    assert.throws(() => new SlowPeers({ totalBytes: 0 }), /totalBytes is 0/);
  });
});
