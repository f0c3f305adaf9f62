/** Bytes of a file by offset: what ELF files are read from. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { HoldfastError } from "../../base/mod.ts";

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

/**
 * Opens a file for reading.
 * @throws the error of the file system; HoldfastError ERR_HOLDFAST_AUTOPSY_MISSING when it is a
 *   directory, a device, or a FIFO, which would wait for a writer for ever.
 */
export function openByteSource(path: string): ByteSource {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const facts = fstatSync(descriptor);
  if (!facts.isFile()) {
    closeSync(descriptor);
    throw new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_MISSING",
      `Cannot open ${path}: it is ${facts.isDirectory() ? "a directory" : "no file"}. ` +
        `Give the core file itself; what comes through a pipe must be saved to a file first.`,
    );
  }
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
  const { size } = facts;
  return {
    path,
    size,
    read,
    slice(offset, length) {
      const bounded = Math.max(0, Math.min(length, size - offset));
      const bytes = Buffer.allocUnsafeSlow(bounded); // cut off where nothing was read
      return bytes.subarray(0, read(offset, bytes));
    },
    close() {
      if (isOpen) closeSync(descriptor);
      isOpen = false;
    },
  };
}
