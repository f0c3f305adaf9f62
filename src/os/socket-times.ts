/**
 * When data last went over the TCP connections of another process: the kernel notes it for each
 * (`TCP_INFO`). The process may run, stand still or loop: it is not asked.
 *
 * ```
 *   pidfd_open(pid) --pidfd_getfd(descriptor)--> a descriptor of ours for the same connection
 *                                                  --getsockopt(TCP_INFO)--> times; closed again
 * ```
 * pidfd_getfd(2) needs Linux 5.6, and the right to trace the process.
 */
import { intBuffer } from "./descriptors.ts";
import { libc, stableBuffer } from "./libc.ts";
import { machineNowMs } from "./processes.ts";

/** Numbers of system calls that all machines share (include/uapi/asm-generic/unistd.h). */
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
/** `struct tcp_info` (linux/tcp.h), up to and with `tcpi_data_segs_out`. */
const TCP_INFO_BYTES = 160;
const LAST_DATA_SENT_OFFSET = 44;
const LAST_DATA_RECEIVED_OFFSET = 52;
const SEGMENTS_RECEIVED_OFFSET = 152;
const SEGMENTS_SENT_OFFSET = 156;
/** The kernel tells for how long, not when: a pause of ours between the two is an error. */
const LOOKS_MAX = 5;
const PAUSE_MS_MAX = 0.5;

/** On the machine's monotonic clock, in ticks of the kernel (1 to 10 ms); null: never. */
export interface SocketTimes {
  readonly receivedAtMs: number | null;
  readonly sentAtMs: number | null;
}

/**
 * The times of those descriptors that are TCP connections; empty where the kernel tells none: an
 * old one, a process that has gone, or one that may not be traced.
 */
export function readSocketTimes(
  pid: number,
  descriptors: Iterable<number>,
): ReadonlyMap<number, SocketTimes> {
  const times = new Map<number, SocketTimes>();
  const process = libc().syscall(SYS_PIDFD_OPEN, pid, 0, 0);
  if (process < 0) return times;
  const [info, length] = [stableBuffer(TCP_INFO_BYTES), intBuffer()];
  try {
    for (const descriptor of descriptors) {
      const copy = libc().syscall(SYS_PIDFD_GETFD, process, descriptor, 0);
      if (copy < 0) continue; // closed meanwhile, or we may not
      const one = timesOf(copy, info, length);
      libc().close(copy);
      if (one !== null) times.set(descriptor, one);
    }
  } finally {
    libc().close(process);
  }
  return times;
}

function timesOf(fd: number, info: Buffer, length: Buffer): SocketTimes | null {
  let best: SocketTimes | null = null;
  let shortestMs = Infinity;
  for (let count = 0; count < LOOKS_MAX && shortestMs > PAUSE_MS_MAX; count += 1) {
    length.writeInt32LE(TCP_INFO_BYTES, 0);
    const before = machineNowMs();
    if (libc().getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, length) !== 0) return null;
    const tookMs = machineNowMs() - before;
    if (length.readInt32LE(0) < TCP_INFO_BYTES) return null;
    if (tookMs >= shortestMs) continue;
    shortestMs = tookMs;
    const at = (segments: number, since: number): number | null =>
      info.readUInt32LE(segments) === 0 ? null : before - info.readUInt32LE(since);
    best = {
      receivedAtMs: at(SEGMENTS_RECEIVED_OFFSET, LAST_DATA_RECEIVED_OFFSET),
      sentAtMs: at(SEGMENTS_SENT_OFFSET, LAST_DATA_SENT_OFFSET),
    };
  }
  return best;
}
