/** Bytes of a file by offset: what ELF files are read from. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** A file that is read in pieces, never as a whole. */
export interface ByteSource {
  readonly path: string;
  readonly size: number;
  /** Fills `into` from `offset`; the number of leading bytes that are there. */
  read(offset: number, into: Buffer): number;
  /** Bytes [offset, offset + length), or fewer where the file ends. */
  slice(offset: number, length: number): Buffer;
  close(): void;
}

/** Opens a file for reading. @throws the error of the file system. */
export function openByteSource(path: string): ByteSource {
  const descriptor = openSync(path, "r");
  let isOpen = true;
  const read = (offset: number, into: Buffer): number => {
    if (!isOpen || offset < 0 || !Number.isSafeInteger(offset)) return 0;
    let done = 0;
    while (done < into.length) {
      const count = readSync(descriptor, into, done, into.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  };
  const { size } = fstatSync(descriptor);
  return {
    path,
    size,
    read,
    slice(offset, length) {
      const bounded = Math.max(0, Math.min(length, size - offset));
      const bytes = Buffer.alloc(bounded);
      return bytes.subarray(0, read(offset, bytes));
    },
    close() {
      if (isOpen) closeSync(descriptor);
      isOpen = false;
    },
  };
}
