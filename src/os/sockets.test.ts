import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { connect as openClient } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { connect, listen } from "../../test/support/loopback.ts";
import { waitUntil } from "../../test/support/wait-until.ts";
import { closeDescriptor, duplicate } from "./descriptors.ts";
import { libc, stableBuffer } from "./libc.ts";
import {
  acceptConnection,
  discardBytes,
  localAddress,
  openSocket,
  peerAddress,
  resetConnection,
  sendBytes,
  shutdownBoth,
  shutdownWrite,
} from "./sockets.ts";
import type { SocketRequest } from "./sockets.ts";

const { errno } = constants;

function request(change: Partial<SocketRequest>): SocketRequest {
  return {
    kind: "tcp",
    address: { address: "127.0.0.1", family: 4, port: 0 },
    ipv6Only: false,
    reuseAddress: true,
    reusePort: false,
    backlog: 8,
    ...change,
  };
}

function unix(address: string): SocketRequest {
  return request({ kind: "unix", address: { address, family: 0, port: 0 }, reuseAddress: false });
}

describe("a connection that was accepted", () => {
  it("is given up after a minute without an answer, and holds little that was not sent", (t) => {
    const fd = openSocket(request({}));
    t.after(() => closeDescriptor(fd));
    const port = localAddress(fd)?.port ?? 0;
    const client = openClient(port);
    t.after(() => client.destroy());
    return waitUntil("the connection to be accepted", () => {
      const accepted = acceptConnection(fd);
      if (accepted < 0) return false;
      const value = stableBuffer(4);
      const length = stableBuffer(4);
      const read = (option: number): number => {
        length.writeInt32LE(4, 0);
        assert.equal(libc().getsockopt(accepted, 6, option, value, length), 0);
        return value.readInt32LE(0);
      };
      assert.equal(read(18), 60_000); // TCP_USER_TIMEOUT
      assert.equal(read(25), 131_072); // TCP_NOTSENT_LOWAT
      closeDescriptor(accepted);
      return true;
    });
  });
});

describe("ending a connection of which somebody else holds a duplicate", () => {
  it("shutdownBoth: the peer has its FIN at once", async (t) => {
    const { fd, client } = await connect(t);
    const held = duplicate(fd);
    shutdownBoth(fd);
    await client.endsWith("fin");
    closeDescriptor(fd);
    closeDescriptor(held);
  });

  it("closing alone says nothing to the peer", async (t) => {
    const { fd, client } = await connect(t);
    const held = duplicate(fd);
    closeDescriptor(fd);
    sendBytes(held, Buffer.from("still open"));
    await client.receives("still open");
    assert.equal(client.ended, "no");
    closeDescriptor(held);
    await client.endsWith("fin");
  });

  it("shutdownWrite: the peer reads the end, and may still send", async (t) => {
    const { fd, client } = await connect(t);
    const held = duplicate(fd);
    assert.equal(sendBytes(fd, Buffer.from("last words")), 10);
    shutdownWrite(fd);
    await client.endsWith("fin");
    assert.equal(client.text, "last words");
    client.send("and mine");
    const into = stableBuffer(100);
    let taken = 0;
    await waitUntil("bytes of the peer", () => (taken = discardBytes(held, into)) > 0);
    assert.equal(into.toString("latin1", 0, taken), "and mine");
    closeDescriptor(fd);
    closeDescriptor(held);
  });

  it("resetConnection: the peer has its RST at once, and loses what it had not read", async (t) => {
    const { fd, client } = await connect(t);
    const held = duplicate(fd);
    resetConnection(fd);
    await client.endsWith("rst");
    closeDescriptor(fd);
    closeDescriptor(held);
  });

  it("ending twice, or after the peer, is no error", async (t) => {
    const { fd, client } = await connect(t);
    client.socket.resetAndDestroy();
    const into = stableBuffer(10);
    await waitUntil("the reset", () => discardBytes(fd, into) !== -errno.EAGAIN);
    for (const end of [shutdownWrite, shutdownBoth, resetConnection, shutdownBoth]) end(fd);
    assert.ok(sendBytes(fd, Buffer.from("x")) < 0, "and no signal");
    closeDescriptor(fd);
  });
});

describe("sending and discarding", () => {
  it("does not wait: what does not fit is not sent", async (t) => {
    const { fd, client } = await connect(t);
    client.socket.pause();
    const bytes = Buffer.alloc(1 << 20);
    let sent = 0;
    await waitUntil("a full buffer", () => (sent = sendBytes(fd, bytes)) < 0);
    assert.equal(sent, -errno.EAGAIN);
    assert.equal(discardBytes(fd, stableBuffer(10)), -errno.EAGAIN);
    closeDescriptor(fd);
  });

  it("discards up to the end, which is 0", async (t) => {
    const { fd, client } = await connect(t);
    client.socket.end("abcdef");
    const into = stableBuffer(4);
    const taken: number[] = [];
    await waitUntil("the end", () => {
      const count = discardBytes(fd, into);
      if (count >= 0) taken.push(count);
      return count === 0;
    });
    assert.deepEqual(taken, [4, 2, 0]);
    closeDescriptor(fd);
  });
});

describe("opening sockets", () => {
  it("listens, accepts, and knows both addresses", async (t) => {
    const { fd, client } = await connect(t);
    assert.equal(localAddress(fd)?.port, client.socket.remotePort);
    assert.equal(peerAddress(fd)?.port, client.socket.localPort);
    assert.equal(peerAddress(fd)?.address, "127.0.0.1");
    const listener = listen();
    assert.equal(acceptConnection(listener), -errno.EAGAIN, "nobody waits");
    assert.equal(peerAddress(listener), null);
    closeDescriptor(listener);
    assert.equal(localAddress(listener), null);
    closeDescriptor(fd);
  });

  it("is non-blocking and closed on exec, as are accepted connections", async (t) => {
    const { fd } = await connect(t);
    const listener = listen();
    for (const each of [fd, listener]) {
      assert.equal(libc().fcntl(each, 1, 0) & 1, 1, "FD_CLOEXEC");
      assert.equal(libc().fcntl(each, 3, 0) & 0o4000, 0o4000, "O_NONBLOCK");
      closeDescriptor(each);
    }
  });

  it("IPv6 alone leaves the port to IPv4; both together do not", (t) => {
    const open = (ipv6Only: boolean): number =>
      openSocket(request({ address: { address: "::", family: 6, port: 0 }, ipv6Only }));
    const alone = open(true);
    if (alone === -errno.EAFNOSUPPORT || alone === -errno.EADDRNOTAVAIL) {
      t.skip("this machine has no IPv6");
      return;
    }
    const { port = 0 } = localAddress(alone) ?? {};
    const other = openSocket(request({ address: { address: "0.0.0.0", family: 4, port } }));
    assert.ok(other >= 0);
    const both = open(false);
    const { port: shared = 0 } = localAddress(both) ?? {};
    const refused = openSocket(
      request({ address: { address: "0.0.0.0", family: 4, port: shared } }),
    );
    assert.equal(refused, -errno.EADDRINUSE);
    for (const fd of [alone, other, both]) closeDescriptor(fd);
  });

  it("several sockets share a port only where all ask for it", () => {
    const first = openSocket(request({ reusePort: true }));
    const { port = 0 } = localAddress(first) ?? {};
    const address = { address: "127.0.0.1", family: 4, port } as const;
    const second = openSocket(request({ address, reusePort: true }));
    assert.ok(second >= 0);
    assert.equal(openSocket(request({ address })), -errno.EADDRINUSE);
    closeDescriptor(first);
    closeDescriptor(second);
  });

  it("udp is bound, and does not listen", () => {
    const fd = openSocket(request({ kind: "udp", reuseAddress: false }));
    assert.ok((localAddress(fd)?.port ?? 0) > 0);
    const { port = 0 } = localAddress(fd) ?? {};
    const address = { address: "127.0.0.1", family: 4, port } as const;
    assert.equal(
      openSocket(request({ kind: "udp", address, reuseAddress: false })),
      -errno.EADDRINUSE,
    );
    closeDescriptor(fd);
  });

  it("a unix path", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "hf-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "s");
    const fd = openSocket(unix(path));
    assert.deepEqual(localAddress(fd), { address: path, family: 0, port: 0 });
    assert.equal(openSocket(unix(path)), -errno.EADDRINUSE);
    closeDescriptor(fd);
    const abstract = openSocket(unix(`\0${folder}`));
    assert.equal(localAddress(abstract)?.address, `\0${folder}`);
    closeDescriptor(abstract);
  });

  const failures: [string, SocketRequest, number][] = [
    ["a path that is too long", unix(`/${"x".repeat(200)}`), errno.EINVAL],
    ["a path in a folder that is not there", unix("/nonexistent/s"), errno.ENOENT],
    ["a path below a file", unix("/proc/self/status/s"), errno.ENOTDIR],
    [
      "an address that is not this machine's",
      request({ address: { address: "192.0.2.1", family: 4, port: 0 } }),
      errno.EADDRNOTAVAIL,
    ],
    [
      "text that is no address",
      request({ address: { address: "localhost", family: 4, port: 0 } }),
      errno.EINVAL,
    ],
  ];
  for (const [name, wanted, expected] of failures) {
    it(`${name}: the error number, and no descriptor`, () => {
      const lowest = duplicate(0);
      closeDescriptor(lowest);
      assert.equal(openSocket(wanted), -expected);
      const again = duplicate(0);
      closeDescriptor(again);
      assert.equal(again, lowest);
    });
  }

  it("a port that another socket listens on: EADDRINUSE", () => {
    const fd = listen();
    const { port = 0 } = localAddress(fd) ?? {};
    const address = { address: "127.0.0.1", family: 4, port } as const;
    assert.equal(openSocket(request({ address })), -errno.EADDRINUSE);
    closeDescriptor(fd);
  });
});
