import assert from "node:assert/strict";
import net from "node:net";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { connect, listen } from "../../test/support/loopback.ts";
import type { Client } from "../../test/support/loopback.ts";
import { waitUntil } from "../../test/support/wait-until.ts";
import { closeDescriptor, duplicate } from "./descriptors.ts";
import { libc, stableBuffer } from "./libc.ts";
import type { Libc } from "./libc.ts";
import { socketPair } from "./packet-channel.ts";
import { createMemoryFile } from "./shared-memory.ts";
import { discardBytes, sendBytes, shutdownWrite } from "./sockets.ts";
import { TCP_CLOSE_WAIT, TCP_ESTABLISHED, TcpCountReader, peerTrouble } from "./tcp-state.ts";
import type { PeerState, TcpCounts } from "./tcp-state.ts";

const reader = new TcpCountReader();

/**
 * A connection served by node:net, beside a duplicate of its descriptor, as the reactor has one.
 */
class Served {
  readonly server: net.Socket;
  readonly client: Client;
  readonly fd: number;

  private constructor(server: net.Socket, client: Client, fd: number) {
    this.server = server;
    this.client = client;
    this.fd = fd;
  }

  static async start(t: TestContext): Promise<Served> {
    const { fd, client } = await connect(t);
    const kept = duplicate(fd);
    const options = { fd, allowHalfOpen: true, pauseOnCreate: true };
    const server = new net.Socket(options);
    server.on("error", () => undefined);
    t.after(() => {
      server.destroy();
      closeDescriptor(kept);
    });
    return new Served(server, client, kept);
  }

  get counts(): TcpCounts {
    const counts = reader.read(this.fd);
    assert.ok(counts !== null);
    return counts;
  }

  /** Waits until the kernel has counted so much; then the counts must be node:net's own. */
  async agrees(expected: Partial<TcpCounts>): Promise<void> {
    const keys = Object.keys(expected) as (keyof TcpCounts)[]; // of the literal
    await waitUntil(JSON.stringify(expected), () =>
      keys.every((key) => this.counts[key] === expected[key]),
    );
    assert.equal(this.counts.read, this.server.bytesRead);
    assert.equal(this.counts.written, this.server.bytesWritten);
  }
}

describe("what the kernel counts is what node:net counts", () => {
  it("before anything was said", async (t) => {
    const served = await Served.start(t);
    await served.agrees({ state: TCP_ESTABLISHED, read: 0, unread: 0, written: 0 });
  });

  it("idle after an exchange", async (t) => {
    const served = await Served.start(t);
    served.server.on("data", (chunk) => served.server.write(chunk));
    served.server.resume();
    for (let round = 1; round <= 3; round += 1) {
      served.client.send("0123456789");
      await served.client.receives("0123456789".repeat(round));
      await served.agrees({ read: 10 * round, unread: 0, written: 10 * round });
    }
  });

  it("with bytes that nobody has read", async (t) => {
    const served = await Served.start(t);
    served.client.send("x".repeat(5000));
    await served.agrees({ read: 0, unread: 5000, written: 0 });
    served.server.resume();
    await served.agrees({ read: 5000, unread: 0, written: 0 });
    served.server.pause();
  });

  it("with bytes that have not left, because the peer does not read", async (t) => {
    const served = await Served.start(t);
    served.client.socket.pause();
    const all = 8 * 1024 * 1024;
    served.server.write(Buffer.alloc(all));
    // what node:net still holds has not been given to the kernel, and is not counted
    await waitUntil("the kernel has taken a part", () => served.counts.written > 0);
    assert.ok(served.counts.written < all && served.server.writableLength > 0);
    served.client.socket.resume();
    await waitUntil("everything has left", () => served.client.bytes === all);
    await served.agrees({ read: 0, written: all });
  });

  it("after the peer's FIN", async (t) => {
    const served = await Served.start(t);
    served.client.send("abc");
    served.server.resume();
    await served.agrees({ read: 3 });
    served.client.socket.end();
    await served.agrees({ state: TCP_CLOSE_WAIT, read: 3, unread: 0, written: 0 });
    served.server.write("answer");
    await served.client.receives("answer");
    await served.agrees({ state: TCP_CLOSE_WAIT, read: 3, unread: 0, written: 6 });
  });

  it("after the peer's FIN with bytes before it that nobody has read", async (t) => {
    const served = await Served.start(t);
    served.client.socket.end("abcde");
    await served.agrees({ state: TCP_CLOSE_WAIT, read: 0, unread: 5, written: 0 });
    served.server.resume();
    await served.agrees({ state: TCP_CLOSE_WAIT, read: 5, unread: 0, written: 0 });
  });

  it("reading goes on being counted after our own FIN", async (t) => {
    const served = await Served.start(t);
    served.server.resume();
    served.server.end("bye");
    await served.client.endsWith("fin");
    served.client.send("still here");
    await waitUntil("the last bytes", () => served.counts.read === 10);
    assert.ok(![TCP_ESTABLISHED, TCP_CLOSE_WAIT].includes(served.counts.state));
    served.client.socket.end();
    await waitUntil("both FINs", () => served.server.readableEnded);
    assert.equal(served.counts.read, 10, "the peer's FIN is no byte");
  });

  it("over more than a window of bytes in both directions at once", async (t) => {
    const served = await Served.start(t);
    served.server.pipe(served.server);
    const bytes = Buffer.alloc(3_000_000, "holdfast");
    served.client.send(bytes);
    await waitUntil("the echo", () => served.client.bytes === bytes.length);
    await served.agrees({ read: bytes.length, unread: 0, written: bytes.length });
  });

  it("says when data last came", async (t) => {
    const served = await Served.start(t);
    served.client.send("x");
    await served.agrees({ unread: 1 });
    const { sinceDataMs } = served.counts;
    assert.ok(sinceDataMs >= 0 && sinceDataMs < 60_000, `${sinceDataMs}`);
    await waitUntil("time passes", () => served.counts.sinceDataMs > sinceDataMs + 20);
  });
});

/** Does something when the kernel has told the one part of a sum and not yet the other. */
function between(act: () => void, read: () => TcpCounts): TcpCounts {
  const c = libc() as { ioctl: Libc["ioctl"] }; // one object for all callers
  const { ioctl } = c;
  c.ioctl = (...args) => {
    c.ioctl = ioctl;
    act();
    return ioctl(...args);
  };
  try {
    return read();
  } finally {
    c.ioctl = ioctl;
  }
}

/** The descriptor of a client's socket, to be used at once. */
function descriptorOf(client: Client): number {
  const socket = client.socket as unknown as { _handle: { fd: number } }; // not in @types/node
  return socket._handle.fd;
}

describe("packets that come while the kernel is asked", () => {
  it("bytes that are acknowledged meanwhile are counted once", async (t) => {
    const served = await Served.start(t);
    served.client.socket.pause();
    const all = 8 * 1024 * 1024;
    served.server.write(Buffer.alloc(all));
    await waitUntil("the peer's window is full", () => served.server.writableLength > 0);
    const fd = descriptorOf(served.client);
    const into = stableBuffer(1 << 20);
    const { written } = served.counts;
    const counts = between(
      () => {
        while (discardBytes(fd, into) > 0);
      },
      () => served.counts,
    );
    assert.ok(counts.written >= written, `${counts.written} after ${written}`);
    assert.equal(counts.written, served.counts.written);
  });

  it("bytes that arrive meanwhile are not taken for bytes that were read", async (t) => {
    const served = await Served.start(t);
    served.client.send("x".repeat(50));
    await served.agrees({ read: 0, unread: 50 });
    const fd = descriptorOf(served.client);
    const counts = between(
      () => assert.equal(sendBytes(fd, Buffer.alloc(70)), 70),
      () => served.counts,
    );
    assert.equal(counts.read, 0);
    assert.equal(counts.unread, 120);
  });
});

describe("what has no such counts is null", () => {
  it("a unix socket, a file, a descriptor that is not open", () => {
    const [a, b] = socketPair();
    const file = createMemoryFile("file", 1);
    for (const fd of [a, b, file, -1, 1_000_000]) assert.equal(reader.read(fd), null);
    for (const fd of [a, b, file]) closeDescriptor(fd);
  });

  it("a socket that listens counts nothing", () => {
    const fd = listen();
    const counts = reader.read(fd);
    assert.ok(counts === null || (counts.read <= 0 && counts.state !== TCP_ESTABLISHED));
    closeDescriptor(fd);
  });

  it("one reader serves many connections, one after the other", async (t) => {
    const [one, other] = await Promise.all([Served.start(t), Served.start(t)]);
    one.client.send("12345");
    await one.agrees({ unread: 5 });
    assert.equal(other.counts.unread, 0);
    assert.equal(one.counts.unread, 5);
    shutdownWrite(other.fd);
    assert.equal(one.counts.state, TCP_ESTABLISHED);
  });
});

describe("what is wrong with a peer", () => {
  const well: PeerState = {
    acked: 1,
    unsent: 0,
    windowProbes: 0,
    retransmits: 0,
    sinceSentMs: 1000,
    sinceReceivedMs: 1000,
  };
  const cases: readonly [string, Partial<PeerState>, ReturnType<typeof peerTrouble>][] = [
    ["all was sent", {}, null],
    ["bytes wait since just now", { unsent: 1, sinceSentMs: 10 }, null],
    ["bytes wait", { unsent: 1 }, "peer-window-closed"],
    ["its window is probed", { unsent: 1, windowProbes: 3, retransmits: 3 }, "peer-window-closed"],
    ["one segment was sent again just now", { retransmits: 1, sinceSentMs: 10 }, null],
    ["sent again, no answer", { retransmits: 1 }, "peer-not-acking"],
    ["sent again and again", { retransmits: 4, sinceSentMs: 10 }, "peer-not-acking"],
  ];
  for (const [what, change, trouble] of cases) {
    it(`${what}: ${trouble}`, () => assert.equal(peerTrouble({ ...well, ...change }), trouble));
  }
});
