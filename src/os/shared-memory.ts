/** Memory that several processes map: an anonymous file (`memfd_create`) and its mapping. */
import { libc } from "./libc.ts";
import { SystemCallError } from "./system-call-error.ts";

const MFD_CLOEXEC = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/**
 * Creates an anonymous memory file of `bytes` zeroes. Pages take memory when first touched.
 * @throws SystemCallError when the kernel refuses (no memfd, no memory).
 */
export function createMemoryFile(name: string, bytes: number): number {
  const fd = libc().memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) throw new SystemCallError("memfd_create", libc().errno(), name);
  if (libc().ftruncate(fd, bytes) !== 0) {
    const error = new SystemCallError("ftruncate", libc().errno(), name);
    libc().close(fd);
    throw error;
  }
  return fd;
}

/** Maps `bytes` of a memory file, shared and writable, for the life of the process. */
export function mapMemoryFile(fd: number, bytes: number): ArrayBuffer {
  const pointer = libc().mmap(null, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  if (BigInt.asUintN(64, pointer) === MAP_FAILED) {
    throw new SystemCallError("mmap", libc().errno(), `descriptor ${fd}`);
  }
  return libc().view(pointer, bytes);
}
