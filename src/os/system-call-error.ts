/**
 * What a failed call into the operating system becomes: an error with the call, the name and the
 * number.
 */
import { constants } from "node:os";
import { HoldfastError } from "../base/mod.ts";

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);

/** The symbolic name of an error number, e.g. 13 is `EACCES`. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** A call into the kernel failed. `syscall` and `errno` tell which and why. */
export class SystemCallError extends HoldfastError {
  readonly syscall: string;
  readonly errno: number;

  constructor(syscall: string, errno: number, subject: string) {
    super(
      "ERR_HOLDFAST_SYSTEM_CALL",
      `${syscall} on ${subject} failed: ${errnoName(errno)}. See errno(3) for what it means here.`,
    );
    this.syscall = syscall;
    this.errno = errno;
  }
}

/** Error numbers that callers tell apart (asm-generic/errno.h; the same on x64 and arm64). */
export const EPERM = 1;
export const ESRCH = 3;
export const EINTR = 4;
export const EAGAIN = 11;
export const EACCES = 13;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOSYS = 38;
export const ETOOMANYREFS = 109;
