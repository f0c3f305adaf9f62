/**
 * What the descriptors of a running process are: files, pipes, and sockets with both addresses,
 * which are the kernel's and nowhere in the memory of the process.
 *
 * ```
 *   /proc/PID/fd/12 -> socket:[4711]      /proc/PID/net/tcp: 0100007F:1F90 0200007F:C350 ... 4711
 *                          `---------------------------------------------------------------^
 *   12: "127.0.0.1:8080 -> 127.0.0.2:50000"
 * ```
 * Formats: proc_pid_fd(5), proc_pid_net(5).
 */
import { readFileSync, readdirSync, readlinkSync } from "node:fs";

/** Of a process with more, the rest is left out. */
const DESCRIPTORS_MAX = 1_000_000;
const INODE = /^socket:\[(\d+)\]$/u;
/** What `inetText` tells of a socket with two ends. */
const CONNECTION = /^\S+:\d+ -> \S+:\d+$/u;
/** `sl local remote state ...`: the inode is the tenth word. */
const INET_INODE_WORD = 9;
/** `Num RefCount Protocol Flags Type St Inode Path`. */
const UNIX_INODE_WORD = 6;
const UNIX_PATH_WORD = 7;

/** Reads them; what has been closed meanwhile, or may not be read, is left out. */
export function readDescriptors(pid: number): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  const sockets = new Map<string, number[]>();
  for (const name of listed(`/proc/${pid}/fd`).slice(0, DESCRIPTORS_MAX)) {
    const target = linked(`/proc/${pid}/fd/${name}`);
    if (target === null) continue;
    const inode = INODE.exec(target)?.[1];
    if (inode === undefined) found.set(Number(name), target);
    else sockets.set(inode, [...(sockets.get(inode) ?? []), Number(name)]);
  }
  if (sockets.size === 0) return found;
  const tell = (inode: string | undefined, text: string): void => {
    for (const descriptor of sockets.get(inode ?? "") ?? []) found.set(descriptor, text);
  };
  for (const protocol of ["tcp", "tcp6", "udp", "udp6"]) {
    for (const words of rowsOf(`/proc/${pid}/net/${protocol}`)) {
      const [, local = "", remote = ""] = words;
      const inode = words[INET_INODE_WORD];
      if (sockets.has(inode ?? "")) tell(inode, inetText(local, remote));
    }
  }
  for (const words of rowsOf(`/proc/${pid}/net/unix`)) {
    tell(words[UNIX_INODE_WORD], words.slice(UNIX_PATH_WORD).join(" ") || "unnamed pipe");
  }
  return found;
}

/** Those that are connections with an address at either end. */
export function connectionsAmong(told: ReadonlyMap<number, string>): readonly number[] {
  return [...told].flatMap(([descriptor, text]) => (CONNECTION.test(text) ? [descriptor] : []));
}

/** `127.0.0.1:80 -> 127.0.0.1:4000`; alone when there is no other end. */
export function inetText(local: string, remote: string): string {
  const other = endText(remote);
  return other.endsWith(":0") ? endText(local) : `${endText(local)} -> ${other}`;
}

/** `0100007F:1F90`: words of 32 bits in the order of this machine, and a port. */
function endText(end: string): string {
  const [address = "", port = "0"] = end.split(":");
  const bytes = Buffer.from(address, "hex");
  if (bytes.length % 4 === 0) bytes.swap32();
  const number = Number.parseInt(port, 16);
  if (bytes.length === 4) return `${bytes.join(".")}:${number}`;
  const groups = Array.from({ length: bytes.length / 2 }, (_, index) =>
    bytes.readUInt16BE(2 * index),
  );
  // an IPv4 address in IPv6 (RFC 4291, 2.5.5.2)
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xff_ff;
  if (isMapped) return `${bytes.subarray(12).join(".")}:${number}`;
  return `[${shortened(groups)}]:${number}`;
}

/** The longest run of zeros as `::` (RFC 5952, 4.2). */
function shortened(groups: readonly number[]): string {
  const text = groups.map((group) => group.toString(16)).join(":");
  const runs = text.match(/\b0(?::0)+\b/gu) ?? [];
  const [longest] = runs.toSorted((a, b) => b.length - a.length);
  return longest === undefined ? text : text.replace(longest, "::").replace(/:{3,}/u, "::");
}

function rowsOf(file: string): readonly string[][] {
  try {
    const [, ...lines] = readFileSync(file, "latin1").trimEnd().split("\n");
    return lines.map((line) => line.trim().split(/ +/u));
  } catch (error) {
    return nothing(error, []);
  }
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    return nothing(error, []);
  }
}

function linked(file: string): string | null {
  try {
    return readlinkSync(file);
  } catch (error) {
    return nothing(error, null);
  }
}

/** The process has gone, or closed it, or the kernel has no such protocol, or lets nobody look. */
function nothing<Value>(error: unknown, value: Value): Value {
  const { code = "" } = error as NodeJS.ErrnoException; // of node:fs
  if (["ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL", "ENOTDIR"].includes(code)) return value;
  throw error;
}
