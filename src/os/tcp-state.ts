/**
 * What the kernel knows of a TCP connection: how many bytes the application has ever taken from it
 * and ever given to it (the exactness rule, DESIGN 4).
 *
 * - taken = `tcpi_bytes_received` - SIOCINQ, less 1 once the peer's FIN is in: a FIN takes a
 *   sequence number and is counted as received (`tcp_rcv_nxt_update`, net/ipv4/tcp_input.c), while
 *   SIOCINQ leaves it out.
 * - given = `tcpi_bytes_acked` + SIOCOUTQ; both count our own FIN, so the figure is exact only for
 *   a socket that has not been shut down for writing (states ESTABLISHED and CLOSE_WAIT).
 */
import { intBuffer } from "./descriptors.ts";
import { libc, stableBuffer } from "./libc.ts";

const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const SIOCINQ = 0x541b;
const SIOCOUTQ = 0x5411;
/** Bytes of `struct tcp_info` that are read (linux/tcp.h): up to and with `tcpi_bytes_received`. */
const TCP_INFO_BYTES = 136;
const BYTES_ACKED_OFFSET = 120;
const BYTES_RECEIVED_OFFSET = 128;
const LAST_DATA_RECEIVED_OFFSET = 52;

/** Up to and with `tcpi_notsent_bytes`. */
const PEER_INFO_BYTES = 148;
const LAST_DATA_SENT_OFFSET = 44;
const UNSENT_OFFSET = 144;
const RETRANSMITS_OFFSET = 2;
const PROBES_OFFSET = 3;

/** States of include/net/tcp_states.h. */
export const TCP_ESTABLISHED = 1;
export const TCP_CLOSE_WAIT = 8;
/** The peer has sent its FIN in these states. */
const PEER_FINISHED: ReadonlySet<number> = new Set([6, 7, 8, 9, 11]);

/** Counts of one connection since it was made. */
export interface TcpCounts {
  readonly state: number;
  /** Bytes that the application has taken. */
  readonly read: number;
  /** Bytes that wait to be taken. */
  readonly unread: number;
  /** Bytes that the application has given. */
  readonly written: number;
  /** Milliseconds since data last arrived. */
  readonly sinceDataMs: number;
}

/**
 * Looks at a connection that does not stand still. Without a reader its window is full long before:
 * a look takes some microseconds, and a window is at most some megabytes (net.ipv4.tcp_rmem).
 */
const LOOKS_MAX = 10_000;

/** CLOCK_MONOTONIC_COARSE (linux/time.h): its resolution is one tick of the kernel. */
const COARSE_CLOCK = 6;

/**
 * For how long data has lain in the kernel. The kernel notes an arrival in ticks (`lrcvtime`,
 * net/ipv4/tcp_input.c), so one tick is subtracted: what is told is the least that it can be.
 */
export class ArrivalReader {
  readonly #info: Buffer = stableBuffer(TCP_INFO_BYTES);
  readonly #length: Buffer = intBuffer();
  readonly #tickMs: number;

  constructor() {
    const resolution = stableBuffer(16);
    libc().clock_getres(COARSE_CLOCK, resolution);
    this.#tickMs = Number(resolution.readBigInt64LE(8)) / 1e6;
  }

  /** Milliseconds since data last arrived, at least; 0 when that is not known. */
  waitedMs(fd: number): number {
    this.#length.writeInt32LE(TCP_INFO_BYTES, 0);
    if (libc().getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#info, this.#length) !== 0) return 0;
    return Math.max(0, this.#info.readUInt32LE(LAST_DATA_RECEIVED_OFFSET) - this.#tickMs);
  }

  /** Whether the peer had finished when `waitedMs` last looked at its connection. */
  get hasPeerFinished(): boolean {
    return PEER_FINISHED.has(this.#info.readUInt8(0));
  }
}

/** Longer than a round trip: what could be sent would have been. */
const STUCK_MS = 250;

/** How the other end of a connection is doing. */
export interface PeerState {
  /** Bytes that it has acknowledged, ever. */
  readonly acked: number;
  /** Bytes that wait to be sent. */
  readonly unsent: number;
  /** Questions whether its window is open again that were not answered with yes. */
  readonly windowProbes: number;
  /** Times that the oldest segment was sent again, without an answer. */
  readonly retransmits: number;
  /** Milliseconds since data was last sent, and since it last arrived. */
  readonly sinceSentMs: number;
  readonly sinceReceivedMs: number;
}

/** Why bytes wait to be sent, or to be acknowledged; null: none do, or not for long. */
export function peerTrouble(state: PeerState): "peer-window-closed" | "peer-not-acking" | null {
  const { unsent, windowProbes, retransmits, sinceSentMs } = state;
  // what is sent and not acknowledged is sent again; a closed window is probed
  if (windowProbes === 0 && retransmits > 0) {
    return retransmits > 1 || sinceSentMs >= STUCK_MS ? "peer-not-acking" : null;
  }
  return unsent === 0 || sinceSentMs < STUCK_MS ? null : "peer-window-closed";
}

/** Reads the state of peers; keeps its buffers. */
export class PeerStateReader {
  readonly #info: Buffer = stableBuffer(PEER_INFO_BYTES);
  readonly #length: Buffer = intBuffer();

  /** Null: no TCP connection. */
  read(fd: number): PeerState | null {
    this.#length.writeInt32LE(PEER_INFO_BYTES, 0);
    if (libc().getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#info, this.#length) !== 0) return null;
    if (this.#length.readInt32LE(0) < PEER_INFO_BYTES) return null;
    return {
      acked: Number(this.#info.readBigUInt64LE(BYTES_ACKED_OFFSET)),
      unsent: this.#info.readUInt32LE(UNSENT_OFFSET),
      windowProbes: this.#info.readUInt8(PROBES_OFFSET),
      retransmits: this.#info.readUInt8(RETRANSMITS_OFFSET),
      sinceSentMs: this.#info.readUInt32LE(LAST_DATA_SENT_OFFSET),
      sinceReceivedMs: this.#info.readUInt32LE(LAST_DATA_RECEIVED_OFFSET),
    };
  }
}

/** Reads the counts of connections; keeps its buffers, so one reader serves any number of them. */
export class TcpCountReader {
  readonly #info: Buffer = stableBuffer(TCP_INFO_BYTES);
  readonly #length: Buffer = intBuffer();
  readonly #queue: Buffer = intBuffer();

  /**
   * The counts of a TCP descriptor, or null when it is not a TCP socket, is not open, or does not
   * stand still.
   *
   * The kernel gives the parts of the sums one by one, and the peer's packets come between: bytes
   * that are acknowledged after the one figure and before the other would be in neither, bytes that
   * arrive in both. So the queues are read between two looks that must agree.
   */
  read(fd: number): TcpCounts | null {
    const c = libc();
    if (!this.#look(fd)) return null;
    for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
      const received = this.#info.readBigUInt64LE(BYTES_RECEIVED_OFFSET);
      const acknowledged = this.#info.readBigUInt64LE(BYTES_ACKED_OFFSET);
      const state = this.#info.readUInt8(0);
      if (c.ioctl(fd, SIOCINQ, this.#queue) !== 0) return null;
      const unread = this.#queue.readInt32LE(0);
      if (c.ioctl(fd, SIOCOUTQ, this.#queue) !== 0) return null;
      const unacknowledged = this.#queue.readInt32LE(0);
      if (!this.#look(fd)) return null;
      const stoodStill =
        received === this.#info.readBigUInt64LE(BYTES_RECEIVED_OFFSET) &&
        acknowledged === this.#info.readBigUInt64LE(BYTES_ACKED_OFFSET) &&
        state === this.#info.readUInt8(0);
      if (!stoodStill) continue;
      return {
        state,
        read: Number(received) - unread - (PEER_FINISHED.has(state) ? 1 : 0),
        unread,
        written: Number(acknowledged) + unacknowledged,
        sinceDataMs: this.#info.readUInt32LE(LAST_DATA_RECEIVED_OFFSET),
      };
    }
    return null;
  }

  /** Fills `#info`; false when there is none. */
  #look(fd: number): boolean {
    this.#length.writeInt32LE(TCP_INFO_BYTES, 0);
    return (
      libc().getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#info, this.#length) === 0 &&
      this.#length.readInt32LE(0) >= TCP_INFO_BYTES
    );
  }
}
