/** Sockets below Node: listening, accepting, sending a few bytes, ending a connection. */
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SOCKADDR_BYTES_MAX,
  decodeAddress,
  encodeAddress,
} from "./address.ts";
import type { SocketAddress } from "./address.ts";
import { intBuffer } from "./descriptors.ts";
import { libc, stableBuffer } from "./libc.ts";

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18;
const TCP_NOTSENT_LOWAT = 25;
const PEER_SILENT_MS = 60_000;
const UNSENT_BYTES = 131_072;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const MSG_NOSIGNAL = 0x4000;
const SHUT_WR = 1;
const SHUT_RDWR = 2;
const AF_UNSPEC = 0;

/** What `openSocket` should make. */
export interface SocketRequest {
  readonly kind: "tcp" | "unix" | "udp";
  readonly address: SocketAddress;
  readonly ipv6Only: boolean;
  readonly reuseAddress: boolean;
  readonly reusePort: boolean;
  /** Length of the accept queue; ignored for udp. */
  readonly backlog: number;
}

function enable(fd: number, level: number, option: number): boolean {
  return libc().setsockopt(fd, level, option, intBuffer(1), 4) === 0;
}

/**
 * Connections inherit these. A peer that takes nothing for a minute is given up by the kernel (by
 * default nobody ever would); and what a slow one has not been sent waits in the application, where
 * it is counted, instead of megabytes for each in the kernel. Older kernels know neither: then it
 * is as it was, so the answers are not looked at.
 */
function boundSlowPeers(fd: number): void {
  const c = libc();
  c.setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, intBuffer(PEER_SILENT_MS), 4);
  c.setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, intBuffer(UNSENT_BYTES), 4);
}

function prepare(fd: number, request: SocketRequest): boolean {
  if (request.reuseAddress && !enable(fd, SOL_SOCKET, SO_REUSEADDR)) return false;
  if (request.reusePort && !enable(fd, SOL_SOCKET, SO_REUSEPORT)) return false;
  if (request.kind === "tcp") boundSlowPeers(fd);
  if (request.ipv6Only && !enable(fd, IPPROTO_IPV6, IPV6_V6ONLY)) return false;
  const encoded = encodeAddress(request.address);
  if (encoded === null) return libc().bind(fd, stableBuffer(2), 0) === 0; // the kernel says EINVAL
  if (libc().bind(fd, encoded.bytes, encoded.length) !== 0) return false;
  return request.kind === "udp" || libc().listen(fd, request.backlog) === 0;
}

/**
 * A bound socket, listening unless it is UDP, non-blocking and closed on exec.
 * @returns the descriptor, or the negative error number (as libuv gives it).
 */
export function openSocket(request: SocketRequest): number {
  const c = libc();
  const family = { 0: AF_UNIX, 4: AF_INET, 6: AF_INET6 }[request.address.family];
  const type = request.kind === "udp" ? SOCK_DGRAM : SOCK_STREAM;
  const fd = c.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -c.errno();
  if (prepare(fd, request)) return fd;
  const errno = c.errno();
  c.close(fd);
  return -errno;
}

/**
 * Takes the next connection of a listening socket: its descriptor, or the negative error number.
 */
export function acceptConnection(fd: number): number {
  const connection = libc().accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return connection < 0 ? -libc().errno() : connection;
}

function name(fd: number, call: "getsockname" | "getpeername"): SocketAddress | null {
  const bytes = stableBuffer(SOCKADDR_BYTES_MAX);
  const length = intBuffer(SOCKADDR_BYTES_MAX);
  if (libc()[call](fd, bytes, length) !== 0) return null;
  return decodeAddress(bytes, length.readInt32LE(0));
}

/** The address that a socket is bound to; null when it is no socket. */
export function localAddress(fd: number): SocketAddress | null {
  return name(fd, "getsockname");
}

/** The address of the other end; null when there is none. */
export function peerAddress(fd: number): SocketAddress | null {
  return name(fd, "getpeername");
}

/** Writes what fits without waiting: the number of bytes, or the negative error number. */
export function sendBytes(fd: number, bytes: Buffer): number {
  const stable = stableBuffer(bytes.length);
  bytes.copy(stable);
  const sent = libc().send(fd, stable, bytes.length, MSG_NOSIGNAL);
  return sent < 0 ? -libc().errno() : sent;
}

/**
 * Reads and throws away what is there: the number of bytes, 0 at the end, or the negative error
 * number.
 */
export function discardBytes(fd: number, into: Buffer): number {
  const taken = libc().recv(fd, into, into.length, 0);
  return taken < 0 ? -libc().errno() : taken;
}

/** Sends FIN now, whoever else holds the descriptor. The peer may still send. */
export function shutdownWrite(fd: number): void {
  libc().shutdown(fd, SHUT_WR); // ENOTCONN: the peer has gone, and there is nothing to end
}

/** Ends a connection in both directions now, whoever else holds the descriptor. */
export function shutdownBoth(fd: number): void {
  libc().shutdown(fd, SHUT_RDWR); // ENOTCONN, as above
}

const UNSPECIFIED = stableBuffer(16);
UNSPECIFIED.writeUInt16LE(AF_UNSPEC, 0);

/** Resets a TCP connection now, whoever else holds the descriptor (connect(2): AF_UNSPEC). */
export function resetConnection(fd: number): void {
  libc().connect(fd, UNSPECIFIED, 16);
}
