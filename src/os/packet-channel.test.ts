import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { fstatSync, readdirSync, readlinkSync } from "node:fs";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { closeDescriptor, duplicate } from "./descriptors.ts";
import { libc, stableBuffer } from "./libc.ts";
import {
  DESCRIPTORS_PER_PACKET_MAX,
  OUTBOX_PACKETS_MAX,
  PACKET_BYTES_MAX,
  PacketChannel,
  socketPair,
} from "./packet-channel.ts";
import { createMemoryFile } from "./shared-memory.ts";
import { waitUntil } from "../../test/support/wait-until.ts";

interface Received {
  readonly kind: number;
  readonly payload: Buffer;
  readonly descriptors: readonly number[];
}

/** One end that writes down what it receives. */
class End {
  readonly channel: PacketChannel;
  readonly received: Received[] = [];
  closes = 0;

  constructor(fd: number) {
    this.channel = new PacketChannel(fd);
    this.channel.onPacket((kind, payload, descriptors) => {
      this.received.push({ kind, payload: Buffer.from(payload), descriptors });
    });
    this.channel.onClose(() => {
      this.closes += 1;
    });
  }

  async packets(count: number): Promise<readonly Received[]> {
    await waitUntil(`${count} packets`, () => this.received.length >= count);
    return this.received;
  }
}

function pair(t: TestContext): [End, End] {
  const [a, b] = socketPair();
  const ends: [End, End] = [new End(a), new End(b)];
  t.after(() => {
    for (const { channel, received } of ends) {
      channel.close();
      for (const { descriptors } of received.splice(0)) descriptors.forEach(closeDescriptor);
    }
  });
  return ends;
}

function inode(fd: number): number {
  return fstatSync(fd).ino;
}

/** How many descriptors this process has of files whose name begins so. */
function openFiles(name: string): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`/memfd:${name}`);
    } catch {
      return false; // the descriptor of the listing itself
    }
  }).length;
}

describe("a channel of packets", () => {
  it("keeps order, bounds and bytes in both directions", async (t) => {
    const [a, b] = pair(t);
    const sent = Array.from({ length: 300 }, (_, index) => ({
      kind: index % 256,
      payload: randomBytes((index * 37) % 3000),
      descriptors: [] as number[],
    }));
    for (const { kind, payload } of sent) {
      assert.ok(a.channel.send(kind, payload));
      assert.ok(b.channel.send(kind, payload));
    }
    assert.deepEqual(await b.packets(300), sent);
    assert.deepEqual(await a.packets(300), sent);
  });

  it("carries an empty payload and the largest one, and refuses a larger one", async (t) => {
    const [a, b] = pair(t);
    const largest = randomBytes(PACKET_BYTES_MAX - 1);
    assert.ok(a.channel.send(1, Buffer.alloc(0)));
    assert.ok(a.channel.send(2, largest));
    assert.throws(() => a.channel.send(3, Buffer.alloc(PACKET_BYTES_MAX)), {
      code: "ERR_ASSERTION",
    });
    const [first, second] = await b.packets(2);
    assert.equal(first?.payload.length, 0);
    assert.ok(second?.payload.equals(largest));
  });

  it("carries JSON", async (t) => {
    const [a, b] = pair(t);
    a.channel.sendJson({ type: "grün", list: [1, null] });
    const [packet] = await b.packets(1);
    assert.equal(packet?.kind, 1);
    assert.deepEqual(JSON.parse(packet?.payload.toString() ?? ""), {
      type: "grün",
      list: [1, null],
    });
  });

  it("carries descriptors with the packet that names them; the sender keeps its own", async (t) => {
    const [a, b] = pair(t);
    const files = Array.from({ length: DESCRIPTORS_PER_PACKET_MAX }, (_, index) =>
      createMemoryFile(`file ${index}`, index + 1),
    );
    a.channel.send(1, Buffer.from("none"));
    a.channel.send(2, Buffer.from("one"), files.slice(0, 1));
    a.channel.send(3, Buffer.from("all"), files);
    a.channel.send(4, Buffer.from("none"));
    assert.throws(() => a.channel.send(5, Buffer.alloc(1), [...files, files[0] ?? -1]), {
      code: "ERR_ASSERTION",
    });
    const packets = await b.packets(4);
    assert.deepEqual(
      packets.map(({ descriptors }) => descriptors.length),
      [0, 1, DESCRIPTORS_PER_PACKET_MAX, 0],
    );
    packets[2]?.descriptors.forEach((fd, index) => {
      assert.equal(fstatSync(fd).size, index + 1, "in the order of the packet");
      assert.equal(inode(fd), inode(files[index] ?? -1), "the same file");
      assert.notEqual(fd, files[index]);
      assert.equal(libc().fcntl(fd, 1, 0) & 1, 1, "closed on exec");
    });
    files.forEach(closeDescriptor);
  });

  it("what the kernel does not take waits here, with duplicates of its descriptors", async (t) => {
    const [fd, peer] = socketPair();
    const a = new End(fd);
    const payload = Buffer.alloc(60_000);
    let sent = 0;
    let drains = 0;
    a.channel.onDrain(() => {
      drains += 1;
    });
    while (a.channel.outboxPackets < 5) {
      const file = createMemoryFile(`queued ${sent}`, sent + 1);
      payload.writeUInt32LE(sent, 0);
      assert.ok(a.channel.send(9, payload, [file]));
      closeDescriptor(file);
      sent += 1;
      assert.ok(sent < 1000, "the kernel takes everything");
    }
    assert.equal(openFiles("queued"), 5);
    const b = new End(peer);
    t.after(() => {
      a.channel.close();
      b.channel.close();
    });
    const packets = await b.packets(sent);
    packets.forEach(({ payload: bytes, descriptors }, index) => {
      assert.equal(bytes.readUInt32LE(0), index);
      assert.equal(fstatSync(descriptors[0] ?? -1).size, index + 1);
      descriptors.forEach(closeDescriptor);
    });
    await waitUntil("an empty outbox", () => a.channel.outboxPackets === 0 && drains === 1);
    assert.equal(openFiles("queued"), 0, "nothing is left open");
    assert.ok(a.channel.send(1, Buffer.alloc(1)));
    assert.equal((await b.packets(sent + 1)).length, sent + 1, "and it goes on");
  });

  it("refuses packets when its outbox is full, and drops them when it closes", () => {
    const [fd, peer] = socketPair();
    const channel = new PacketChannel(fd);
    const file = createMemoryFile("dropped", 1);
    const payload = Buffer.alloc(60_000);
    while (channel.outboxPackets === 0) channel.send(1, payload);
    channel.send(1, payload, [file]);
    assert.equal(openFiles("dropped"), 2);
    const small = Buffer.alloc(0);
    while (channel.outboxPackets < OUTBOX_PACKETS_MAX) assert.ok(channel.send(1, small));
    assert.ok(channel.isFull);
    assert.equal(channel.send(1, small), false);
    channel.close();
    assert.equal(openFiles("dropped"), 1, "the duplicate is closed");
    assert.throws(() => fstatSync(fd), { code: "EBADF" }, "and so is the channel");
    closeDescriptor(peer);
    closeDescriptor(file);
  });

  it("closes twice, tells nobody, and takes nothing more", async (t) => {
    const [a, b] = pair(t);
    assert.ok((a.channel.descriptor ?? -1) >= 0);
    a.channel.close();
    a.channel.close();
    assert.equal(a.channel.descriptor, null);
    assert.equal(a.channel.send(1, Buffer.alloc(1)), false);
    await waitUntil("the other end hears of it", () => b.closes === 1);
    assert.equal(a.closes, 0);
    assert.equal(b.channel.descriptor, null);
    assert.equal(b.channel.send(1, Buffer.alloc(1)), false);
  });

  it("a packet that was sent before the sender closed is received", async (t) => {
    const [a, b] = pair(t);
    const file = createMemoryFile("file", 77);
    for (let index = 0; index < 20; index += 1) {
      assert.ok(a.channel.send(index, Buffer.alloc(1000), [file]));
    }
    closeDescriptor(file);
    a.channel.close();
    const packets = await b.packets(20);
    assert.equal(fstatSync(packets[19]?.descriptors[0] ?? -1).size, 77);
    await waitUntil("the close", () => b.closes === 1);
  });

  it("what a process has sent before it ended can be taken at once", () => {
    const [a, b] = socketPair();
    const [sender, end] = [new PacketChannel(a), new End(b)];
    for (let index = 0; index < 600; index += 1)
      assert.ok(sender.send(index % 256, Buffer.alloc(0)));
    sender.close();
    end.channel.takePending();
    assert.deepEqual(
      end.received.map(({ kind }) => kind),
      Array.from({ length: 600 }, (_, index) => index % 256),
    );
    assert.equal(end.closes, 1);
    end.channel.takePending();
    assert.equal(end.received.length, 600);
  });

  it("a packet waits in the kernel for another holder of the same end", async (t) => {
    const [a, b] = socketPair();
    const sender = new End(a);
    const kept = duplicate(b);
    const first = new PacketChannel(b);
    first.close();
    assert.ok(sender.channel.send(1, Buffer.from("for the next one")));
    const next = new End(kept);
    t.after(() => {
      sender.channel.close();
      next.channel.close();
    });
    const [packet] = await next.packets(1);
    assert.equal(packet?.payload.toString(), "for the next one");
    assert.equal(sender.closes, 0);
  });

  it("the callee of a packet may close the channel", async (t) => {
    const [a, b] = pair(t);
    let count = 0;
    b.channel.onPacket(() => {
      count += 1;
      b.channel.close();
    });
    a.channel.send(1, Buffer.alloc(1));
    a.channel.send(2, Buffer.alloc(1));
    await waitUntil("the close", () => a.closes === 1);
    assert.equal(count, 1);
  });

  it("bytes without descriptors in their control area are no descriptors", async (t) => {
    const [a, b] = socketPair();
    const end = new End(b);
    t.after(() => end.channel.close());
    const bytes = stableBuffer(2);
    bytes.writeUInt16LE(0x4107, 0);
    assert.equal(libc().send(a, bytes, 2, 0), 2);
    const [packet] = await end.packets(1);
    assert.deepEqual(packet, { kind: 7, payload: Buffer.from("A"), descriptors: [] });
    closeDescriptor(a);
  });

  it("sends what was accepted at once, in its order", async (t) => {
    const [a, b] = pair(t);
    const file = createMemoryFile("holdfast-accepted", 4096);
    t.after(() => closeDescriptor(file));
    assert.equal(
      a.channel.sendAccepted(7, Buffer.from("none"), () => -11),
      -11,
    );
    assert.equal(
      a.channel.sendAccepted(7, Buffer.from("first"), () => file),
      file,
    );
    let large = 0;
    while (a.channel.outboxPackets === 0) {
      a.channel.send(8, Buffer.alloc(PACKET_BYTES_MAX - 1));
      large += 1;
    }
    a.channel.sendAccepted(7, Buffer.from("last"), () => file);
    const packets = await b.packets(large + 2);
    const accepted = packets.filter(({ kind }) => kind === 7);
    assert.deepEqual(
      accepted.map(({ payload }) => payload.toString()),
      ["first", "last"],
    );
    assert.equal(packets.at(-1)?.payload.toString(), "last");
    for (const { descriptors } of accepted) {
      assert.deepEqual(descriptors.map(inode), [inode(file)]);
    }
  });
});
