/**
 * The TCP sockets of this network namespace that listen, asked of the kernel by sock_diag(7). What
 * `/proc/net/tcp` tells takes 5 ms where the table of connections is large, whoever is in it: the
 * kernel goes through all of it. This takes some 30 us.
 */
import { AF_INET, AF_INET6 } from "./address.ts";
import { libc, stableBuffer } from "./libc.ts";

const AF_NETLINK = 16;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const IPPROTO_TCP = 6;
/** `1 << TCP_LISTEN` (include/net/tcp_states.h). */
const LISTENING = 1 << 10;

/** `struct nlmsghdr` (linux/netlink.h). */
const HEADER = { length: 0, type: 4, flags: 6, sequence: 8, bytes: 16 } as const;
const NLMSG_DONE = 3;
const SOCK_DIAG_BY_FAMILY = 20;
/** `NLM_F_REQUEST | NLM_F_DUMP`. */
const DUMP = 0x301;
/** `struct inet_diag_req_v2` behind it (linux/inet_diag.h). */
const REQUEST = { family: 16, protocol: 17, states: 20, bytes: 72 } as const;
/** `struct inet_diag_msg` behind it (the same). */
const ANSWER = { port: 20, inode: 84, bytes: 88 } as const;
/** The kernel fills a buffer with as many answers as fit (man 7 netlink: 8 KiB or more). */
const BUFFER_BYTES = 32_768;

export interface ListeningSocket {
  readonly port: number;
  /** That of `socket:[inode]` in proc_pid_fd(5). */
  readonly inode: number;
}

/** Null: the kernel does not answer (a sandbox that has no sock_diag). */
export function listeningSockets(): readonly ListeningSocket[] | null {
  const c = libc();
  const fd = c.socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return null;
  try {
    const found: ListeningSocket[] = [];
    for (const family of [AF_INET, AF_INET6]) if (!dump(fd, family, found)) return null;
    return found;
  } finally {
    c.close(fd);
  }
}

function dump(fd: number, family: number, found: ListeningSocket[]): boolean {
  const c = libc();
  const request = stableBuffer(REQUEST.bytes);
  request.writeUInt32LE(REQUEST.bytes, HEADER.length);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, HEADER.type);
  request.writeUInt16LE(DUMP, HEADER.flags);
  request.writeUInt8(family, REQUEST.family);
  request.writeUInt8(IPPROTO_TCP, REQUEST.protocol);
  request.writeUInt32LE(LISTENING, REQUEST.states);
  if (c.send(fd, request, REQUEST.bytes, 0) !== REQUEST.bytes) return false;
  const answer = stableBuffer(BUFFER_BYTES);
  for (;;) {
    const bytes = c.recv(fd, answer, BUFFER_BYTES, 0);
    if (bytes <= 0) return false; // the kernel answers at once, or not at all
    const isLast = read(answer.subarray(0, bytes), found);
    if (isLast !== null) return isLast;
  }
}

/**
 * Reads the messages of one packet: true where the answer is complete, false where it is an error,
 * null where more is to come.
 */
function read(packet: Buffer, found: ListeningSocket[]): boolean | null {
  for (let at = 0; at + HEADER.bytes <= packet.length;) {
    const length = packet.readUInt32LE(at + HEADER.length);
    const type = packet.readUInt16LE(at + HEADER.type);
    if (type === NLMSG_DONE) return true;
    if (type !== SOCK_DIAG_BY_FAMILY || length < ANSWER.bytes) return false;
    const message = packet.subarray(at, at + length);
    found.push({
      port: message.readUInt16BE(ANSWER.port),
      inode: message.readUInt32LE(ANSWER.inode),
    });
    at += (length + 3) & ~3; // NLMSG_ALIGN
  }
  return null;
}
