/**
 * Packets with descriptors between two processes, over one end of an AF_UNIX SOCK_SEQPACKET pair.
 *
 * ```
 *   packet:  u8 kind | payload                       (at most PACKET_BYTES_MAX)
 *   control: up to DESCRIPTORS_PER_PACKET_MAX descriptors (SCM_RIGHTS)
 * ```
 * Packets keep their bounds and their order, and stay in the kernel while nobody reads: a packet
 * that was sent to a process is not lost when its sender dies, nor when its receiver is replaced by
 * another holder of the same end. What the kernel does not take at once waits in an outbox, whose
 * descriptors are duplicates of the channel's own until they have left.
 */
import assert from "node:assert";
import { PACKET_JSON } from "../base/mod.ts";
import { closeDescriptor, duplicate, intBuffer } from "./descriptors.ts";
import { libc, stableBuffer } from "./libc.ts";
import type { Watch } from "./libc.ts";
import { EAGAIN, EINTR, ETOOMANYREFS, SystemCallError } from "./system-call-error.ts";

/**
 * Below the default send buffer of the kernel (net.core.wmem_default, 212,992 bytes with overhead).
 */
export const PACKET_BYTES_MAX: number = 96 * 1024;
/** The kernel takes 253 (SCM_MAX_FD); fewer keep one packet small. */
export const DESCRIPTORS_PER_PACKET_MAX = 64;
/** Packets that wait for a receiver that does not read; past it the sender must choose another. */
export const OUTBOX_PACKETS_MAX = 4096;
/** Packets taken in one turn of the event loop, so that one channel starves nobody. */
const PACKETS_PER_TURN_MAX = 256;

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SO_SNDBUF = 7;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** `struct cmsghdr` on LP64: u64 length, i32 level, i32 type. */
const CMSG_HEADER_BYTES = 16;
const MSGHDR_BYTES = 56;
const WANTED_SEND_BUFFER_BYTES = 1 << 20;

export type PacketListener = (kind: number, payload: Buffer, descriptors: number[]) => void;

interface Outgoing {
  readonly bytes: Buffer;
  readonly descriptors: readonly number[];
}

/**
 * A `struct msghdr` with one iovec and a control area, at fixed addresses. Of its lengths (u64)
 * only the lower halves are ever written: the others stay zero.
 */
class Message {
  readonly header: Buffer = stableBuffer(MSGHDR_BYTES);
  readonly data: Buffer = stableBuffer(PACKET_BYTES_MAX);
  readonly control: Buffer = stableBuffer(CMSG_HEADER_BYTES + 4 * 256);
  readonly #vector: Buffer = stableBuffer(16);

  constructor() {
    const { address } = libc();
    this.#vector.writeBigUInt64LE(address(this.data), 0);
    this.header.writeBigUInt64LE(address(this.#vector), 16);
    this.header.writeBigUInt64LE(1n, 24);
    this.header.writeBigUInt64LE(address(this.control), 32);
  }

  prepare(dataBytes: number, controlBytes: number): void {
    this.#vector.writeUInt32LE(dataBytes, 8);
    this.header.writeUInt32LE(controlBytes, 40);
  }

  get controlBytes(): number {
    return this.header.readUInt32LE(40);
  }
}

/** Both ends of a new channel; non-blocking, closed on exec. */
export function socketPair(): [number, number] {
  return pairOf(SOCK_SEQPACKET);
}

/** Both ends of a stream, for `node:net`; non-blocking, closed on exec. */
export function streamPair(): [number, number] {
  return pairOf(SOCK_STREAM);
}

function pairOf(kind: number): [number, number] {
  const pair = stableBuffer(8);
  const type = kind | SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (libc().socketpair(AF_UNIX, type, 0, pair) !== 0) {
    throw new SystemCallError("socketpair", libc().errno(), "a new channel");
  }
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}

/** One end of a channel. Owns its descriptor. */
export class PacketChannel {
  readonly #fd: number;
  readonly #incoming: Message = new Message();
  readonly #outgoing: Message = new Message();
  readonly #outbox: Outgoing[] = [];
  #watch: Watch | null;
  #onPacket: PacketListener = () => undefined;
  #onClose: () => void = () => undefined;
  #onDrain: () => void = () => undefined;
  #watchesWritable = false;

  constructor(fd: number) {
    this.#fd = fd;
    libc().setsockopt(fd, SOL_SOCKET, SO_SNDBUF, intBuffer(WANTED_SEND_BUFFER_BYTES), 4);
    this.#watch = libc().watch(fd, { readable: true }, () => this.#onReady());
  }

  /** The descriptor, for handing a duplicate to somebody; null once closed. */
  get descriptor(): number | null {
    return this.#watch === null ? null : this.#fd;
  }

  /** Packets that the kernel has not taken yet. */
  get outboxPackets(): number {
    return this.#outbox.length;
  }

  /** Whether another packet would be refused. */
  get isFull(): boolean {
    return this.#outbox.length >= OUTBOX_PACKETS_MAX;
  }

  /**
   * Called for each packet; the payload is valid during the call only, descriptors are the
   * callee's.
   */
  onPacket(listener: PacketListener): void {
    this.#onPacket = listener;
  }

  /** Called once, when the other end is closed (its process died) or the channel is broken. */
  onClose(listener: () => void): void {
    this.#onClose = listener;
  }

  /** Called when the outbox has become empty again. */
  onDrain(listener: () => void): void {
    this.#onDrain = listener;
  }

  /** Lets the process end although the channel is open. */
  unref(): void {
    this.#watch?.unref();
  }

  /** Keeps the process alive while the channel is open, which is the default. */
  ref(): void {
    this.#watch?.ref();
  }

  /** Sends a value as JSON; see `send`. */
  sendJson(value: unknown, descriptors: readonly number[] = []): boolean {
    return this.send(PACKET_JSON, Buffer.from(JSON.stringify(value)), descriptors);
  }

  /**
   * Sends a packet, now or as soon as the kernel takes it. The caller keeps its descriptors.
   * @returns false when the channel is closed or its outbox full: the packet was not taken.
   */
  send(kind: number, payload: Buffer, descriptors: readonly number[] = []): boolean {
    assert(payload.length < PACKET_BYTES_MAX, `a packet of ${payload.length} bytes is too large`);
    assert(descriptors.length <= DESCRIPTORS_PER_PACKET_MAX, "too many descriptors in one packet");
    if (this.#watch === null || this.isFull) return false;
    const message = this.#outgoing;
    message.data.writeUInt8(kind, 0);
    payload.copy(message.data, 1);
    if (this.#outbox.length === 0) {
      const result = this.#transmit(1 + payload.length, descriptors);
      if (result === "sent") return true;
      if (result === "broken") return false;
    }
    this.#outbox.push({
      bytes: Buffer.from(message.data.subarray(0, 1 + payload.length)),
      descriptors: descriptors.map((fd) => duplicate(fd)),
    });
    this.#watchWritable(true);
    return true;
  }

  /**
   * Takes a descriptor by `accept` (negative: an error, and nothing is sent) and sends it with a
   * packet that is ready before: whoever kills this process has an instant for it. See `send`.
   * @returns what `accept` gave
   */
  sendAccepted(kind: number, payload: Buffer, accept: () => number): number {
    const message = this.#outgoing;
    message.data.writeUInt8(kind, 0);
    payload.copy(message.data, 1);
    this.#address(1 + payload.length, 1);
    const canSend = this.#watch !== null && this.#outbox.length === 0;
    const fd = accept();
    if (fd < 0) return fd;
    message.control.writeInt32LE(fd, CMSG_HEADER_BYTES);
    if (canSend && libc().sendmsg(this.#fd, message.header, MSG_NOSIGNAL) >= 0) return fd;
    this.send(kind, payload, [fd]); // it has to wait, or nobody is there any more
    return fd;
  }

  /**
   * Takes every packet that is there, now: of a process that has ended, before its account is
   * closed.
   */
  takePending(): void {
    while (this.#watch !== null && this.#receive());
  }

  /** Closes the end at once; packets in the outbox are dropped. */
  close(): void {
    if (this.#watch === null) return;
    this.#watch.close();
    this.#watch = null;
    for (const { descriptors } of this.#outbox.splice(0)) descriptors.forEach(closeDescriptor);
    closeDescriptor(this.#fd);
  }

  #transmit(bytes: number, descriptors: readonly number[]): "sent" | "later" | "broken" {
    const { control } = this.#outgoing;
    this.#address(bytes, descriptors.length);
    descriptors.forEach((fd, index) => control.writeInt32LE(fd, CMSG_HEADER_BYTES + 4 * index));
    const c = libc();
    for (;;) {
      if (c.sendmsg(this.#fd, this.#outgoing.header, MSG_NOSIGNAL) >= 0) return "sent";
      const errno = c.errno();
      if (errno === EINTR) continue;
      return errno === EAGAIN || errno === ETOOMANYREFS ? "later" : "broken";
    }
  }

  /** Everything of the next message but its bytes and the numbers of its descriptors. */
  #address(bytes: number, descriptors: number): void {
    const message = this.#outgoing;
    if (descriptors > 0) {
      message.control.writeUInt32LE(CMSG_HEADER_BYTES + 4 * descriptors, 0);
      message.control.writeInt32LE(SOL_SOCKET, 8);
      message.control.writeInt32LE(SCM_RIGHTS, 12);
    }
    const padded = CMSG_HEADER_BYTES + 8 * Math.ceil(descriptors / 2);
    message.prepare(bytes, descriptors > 0 ? padded : 0);
  }

  #watchWritable(wanted: boolean): void {
    if (this.#watch === null || wanted === this.#watchesWritable) return;
    this.#watchesWritable = wanted;
    this.#watch.start({ readable: true, writable: wanted }, () => this.#onReady());
  }

  #onReady(): void {
    this.#flush();
    this.#receive();
  }

  #flush(): void {
    if (this.#outbox.length === 0) return;
    while (this.#watch !== null) {
      const [next] = this.#outbox;
      if (next === undefined) break;
      next.bytes.copy(this.#outgoing.data);
      const result = this.#transmit(next.bytes.length, next.descriptors);
      if (result === "later") return;
      this.#outbox.shift();
      next.descriptors.forEach(closeDescriptor);
      if (result === "broken") return; // the read side sees the end and closes
    }
    this.#watchWritable(false);
    this.#onDrain();
  }

  /** True: it stopped because others have to have their turn. */
  #receive(): boolean {
    const c = libc();
    const message = this.#incoming;
    for (let count = 0; count < PACKETS_PER_TURN_MAX && this.#watch !== null; count += 1) {
      message.prepare(PACKET_BYTES_MAX, CMSG_HEADER_BYTES + 4 * 256);
      const bytes = c.recvmsg(this.#fd, message.header, MSG_CMSG_CLOEXEC);
      if (bytes > 0) {
        this.#onPacket(
          message.data.readUInt8(0),
          message.data.subarray(1, bytes),
          this.#receivedDescriptors(),
        );
        continue;
      }
      const errno = bytes < 0 ? c.errno() : 0;
      if (errno === EAGAIN) return false;
      if (errno === EINTR) continue;
      this.close();
      this.#onClose();
    }
    return this.#watch !== null;
  }

  #receivedDescriptors(): number[] {
    const { control, controlBytes } = this.#incoming;
    if (controlBytes < CMSG_HEADER_BYTES) return [];
    const isRights =
      control.readInt32LE(8) === SOL_SOCKET && control.readInt32LE(12) === SCM_RIGHTS;
    if (!isRights) return [];
    const count = (control.readUInt32LE(0) - CMSG_HEADER_BYTES) >> 2;
    const descriptors: number[] = [];
    for (let index = 0; index < count; index += 1) {
      descriptors.push(control.readInt32LE(CMSG_HEADER_BYTES + 4 * index));
    }
    return descriptors;
  }
}
