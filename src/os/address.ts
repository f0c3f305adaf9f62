/**
 * Socket addresses between their C layout (`sockaddr_in`, `sockaddr_in6`, `sockaddr_un`) and text.
 */
import { isIPv4, isIPv6 } from "node:net";
import { stableBuffer } from "./libc.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
/** Bytes of `struct sockaddr_un`, the longest of the three. */
export const SOCKADDR_BYTES_MAX = 110;
const UNIX_PATH_OFFSET = 2;
/** `sun_path` holds 108 bytes with its terminator (unix(7)). */
export const UNIX_PATH_BYTES_MAX = 107;

/** A socket address; `family` is 4, 6, or 0 for a unix path. */
export interface SocketAddress {
  readonly address: string;
  readonly family: 0 | 4 | 6;
  readonly port: number;
}

function ipv4Bytes(address: string): number[] {
  return address.split(".").map(Number);
}

function ipv6Words(text: string): number[] {
  const [head = "", tail] = text.split("::");
  const words = (part: string): number[] =>
    part === ""
      ? []
      : part.split(":").flatMap((word) => {
          if (!word.includes(".")) return [Number.parseInt(word, 16)];
          const [a = 0, b = 0, c = 0, d = 0] = ipv4Bytes(word);
          return [(a << 8) | b, (c << 8) | d];
        });
  const front = words(head);
  if (tail === undefined) return front;
  const back = words(tail);
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back];
}

/**
 * The C form of an address and its length. `scope` is the index of the interface (`fe80::1%eth0`).
 * A unix path longer than the kernel takes gives null, as does text that is no address.
 */
export function encodeAddress(
  address: SocketAddress,
  scope = 0,
): { readonly bytes: Buffer; readonly length: number } | null {
  const bytes = stableBuffer(SOCKADDR_BYTES_MAX);
  if (address.family === 0) {
    const path = Buffer.from(address.address);
    if (path.length > UNIX_PATH_BYTES_MAX) return null;
    bytes.writeUInt16LE(AF_UNIX, 0);
    path.copy(bytes, UNIX_PATH_OFFSET);
    return { bytes, length: UNIX_PATH_OFFSET + path.length + (path[0] === 0 ? 0 : 1) };
  }
  bytes.writeUInt16BE(address.port, 2);
  if (address.family === 4) {
    if (!isIPv4(address.address)) return null;
    bytes.writeUInt16LE(AF_INET, 0);
    ipv4Bytes(address.address).forEach((byte, index) => bytes.writeUInt8(byte, 4 + index));
    return { bytes, length: 16 };
  }
  const [plain = ""] = address.address.split("%");
  if (!isIPv6(plain)) return null;
  bytes.writeUInt16LE(AF_INET6, 0);
  ipv6Words(plain).forEach((word, index) => bytes.writeUInt16BE(word, 8 + 2 * index));
  bytes.writeUInt32LE(scope, 24);
  return { bytes, length: 28 };
}

function ipv6Text(bytes: Buffer): string {
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(8 + 2 * index));
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return `::ffff:${[...bytes.subarray(20, 24)].join(".")}`;
  }
  // RFC 5952: the longest run of two or more zero words, the first of equals, becomes `::`
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (start + length < 8 && words[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  const text = (part: number[]): string => part.map((word) => word.toString(16)).join(":");
  if (best.start < 0) return text(words);
  return `${text(words.slice(0, best.start))}::${text(words.slice(best.start + best.length))}`;
}

/** The address in `bytes`; null for a family that is none of the three. */
export function decodeAddress(bytes: Buffer, length: number): SocketAddress | null {
  switch (bytes.readUInt16LE(0)) {
    case AF_INET:
      return {
        address: [...bytes.subarray(4, 8)].join("."),
        family: 4,
        port: bytes.readUInt16BE(2),
      };
    case AF_INET6:
      return { address: ipv6Text(bytes), family: 6, port: bytes.readUInt16BE(2) };
    case AF_UNIX: {
      const path = bytes.subarray(UNIX_PATH_OFFSET, Math.max(length, UNIX_PATH_OFFSET));
      const end = path[0] === 0 ? path.length : path.indexOf(0);
      return { address: path.toString("utf8", 0, end < 0 ? path.length : end), family: 0, port: 0 };
    }
    default:
      return null;
  }
}
