import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { ClientHttp2Session, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { waitUntil } from "../../test/support/wait-until.ts";
import { SessionPeer, SlowPeers } from "./slow-peers.ts";

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

interface Http2World {
  readonly client: ClientHttp2Session;
  readonly peer: SessionPeer;
  readonly streams: readonly ServerHttp2Stream[];
}

/** One connection to a server that sends 100 kB, or reads what comes. */
async function http2World(t: TestContext): Promise<Http2World> {
  const streams: ServerHttp2Stream[] = [];
  const server = http2.createServer().on("stream", (stream, headers) => {
    streams.push(stream);
    stream.respond();
    if (headers[":method"] === "GET") stream.end(Buffer.alloc(100_000));
    else stream.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on a port
  const client = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => {
    client.destroy();
    server.close();
  });
  const [session] = (await once(server, "session")) as [ServerHttp2Session];
  return { client, peer: new SessionPeer(session), streams };
}

describe("slow peers of http2", () => {
  it("one that takes nothing of its streams is ended, and sees that it is", async (t) => {
    const { client, peer, streams } = await http2World(t);
    const stuck = client.request();
    stuck.pause();
    await waitUntil("its window is full", () => {
      return streams[0] !== undefined && peer.bytesWritten > 60_000 && peer.writableLength > 0;
    });
    const peers = new SlowPeers({ patienceMs: 3000, leastRate: 100 });
    for (let second = 1; second < 3; second += 1) peers.look([peer], 1000 * second);
    assert.equal(peer.destroyed, false, "it has some patience");
    for (let second = 3; second < 6; second += 1) peers.look([peer], 1000 * second);
    assert.equal(peer.destroyed, true);
    assert.equal(peers.ended["slow-reader"], 1);
    await once(stuck, "close");
    assert.equal(stuck.rstCode, http2.constants.NGHTTP2_CANCEL);
  });

  it("who holds too much goes at once; who takes what there is does not", async (t) => {
    const { client, peer } = await http2World(t);
    client.request().pause();
    await waitUntil("it holds something", () => peer.writableLength > 0);
    const other = await http2World(t);
    const read = other.client.request().resume();
    await once(read, "end");
    const peers = new SlowPeers({ connectionBytes: 10_000, patienceMs: 1000 });
    peers.look([peer, other.peer], 1000);
    for (let second = 2; second < 9; second += 1) peers.look([other.peer], 1000 * second);
    assert.deepEqual([peer.destroyed, other.peer.destroyed], [true, false]);
    assert.equal(peers.ended["connection-bytes"], 1);
  });

  it("an upload that does not go on is ended; a conversation may be silent", async (t) => {
    const silent = await http2World(t);
    silent.client.request({ ":method": "POST" }).write("hello");
    const whole = await http2World(t);
    whole.client.request({ ":method": "POST", "content-length": 5 }).end("hello");
    const upload = await http2World(t);
    upload.client.request({ ":method": "POST", "content-length": 10 }).write("hello");
    const all = [silent, whole, upload];
    await waitUntil("all have come", () => all.every(({ streams }) => streams.length === 1));
    await waitUntil("one is whole", () => whole.streams[0]?.readableEnded === true);
    const peers = new SlowPeers({ patienceMs: 2000, leastRate: 100 });
    for (let second = 1; second < 6; second += 1) {
      peers.look(
        all.map(({ peer }) => peer),
        1000 * second,
      );
    }
    assert.deepEqual(
      all.map(({ peer }) => peer.destroyed),
      [false, false, true],
    );
    assert.equal(peers.ended["slow-writer"], 1);
  });
});
