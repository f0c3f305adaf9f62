/**
 * How large a dump is. Pages of zeros are holes in its file: a process that a debugger has read
 * through has hundreds of megabytes of them, which take no room.
 */
import { statSync } from "node:fs";
import { formatSize } from "../base/mod.ts";

/** `st_blocks` of stat(2). */
const BLOCK_BYTES = 512;
/** Heap and stacks of any process are more: what says less has not been written out yet (ZFS). */
const DISK_BYTES_MIN = 1024 * 1024;
/** A difference that is worth a word. */
const MUCH_LESS = 0.5;

export interface DumpSize {
  readonly diskBytes: number;
  /** `561.2MiB, 8.0MiB on disk`, or the length alone. */
  readonly text: string;
}

/** @param bytes length of the file */
export function dumpSize(path: string, bytes: number): DumpSize {
  const diskBytes = statSync(path).blocks * BLOCK_BYTES;
  const isMuchLess = diskBytes >= DISK_BYTES_MIN && diskBytes < bytes * MUCH_LESS;
  const disk = isMuchLess ? `, ${formatSize(diskBytes)} on disk` : "";
  return { diskBytes, text: `${formatSize(bytes)}${disk}` };
}
