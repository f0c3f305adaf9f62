/** Descriptors as numbers with an owner: duplicate, close, lock. */
import { libc, stableBuffer } from "./libc.ts";
import { SystemCallError } from "./system-call-error.ts";

const F_SETFD = 2;
const F_GETFL = 3;
const FD_CLOEXEC = 1;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const O_NONBLOCK = 0o4000;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Closes a descriptor. One that is not open is a programmer's error, and is thrown. */
export function closeDescriptor(fd: number): void {
  if (libc().close(fd) !== 0)
    throw new SystemCallError("close", libc().errno(), `descriptor ${fd}`);
}

/** A second descriptor of the same open file, closed on exec. */
export function duplicate(fd: number): number {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw new SystemCallError("fcntl(F_DUPFD)", libc().errno(), `descriptor ${fd}`);
  return copy;
}

/** Makes reads and writes on the open file return at once. Shared by all its duplicates. */
export function setNonBlocking(fd: number): void {
  const flags = libc().fcntl(fd, F_GETFL, 0);
  if (flags < 0 || libc().fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    throw new SystemCallError("fcntl(F_SETFL)", libc().errno(), `descriptor ${fd}`);
  }
}

/** Keeps a descriptor from programs that this process starts. */
export function setCloseOnExec(fd: number): void {
  if (libc().fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
    throw new SystemCallError("fcntl(F_SETFD)", libc().errno(), `descriptor ${fd}`);
  }
}

/** Takes the exclusive advisory lock of a file (flock(2)); false when another process has it. */
export function flock(fd: number): boolean {
  return libc().flock(fd, LOCK_EX | LOCK_NB) === 0;
}

/** Room for one C int. */
export function intBuffer(value = 0): Buffer {
  const buffer = stableBuffer(4);
  buffer.writeInt32LE(value, 0);
  return buffer;
}
