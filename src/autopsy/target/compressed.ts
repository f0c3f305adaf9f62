/**
 * Compressed cores (systemd-coredump writes zstd or lz4): decompressed as a stream to a temporary
 * file in which zeros take no room, since a core is read here and there.
 */
import { createReadStream, rmSync } from "node:fs";
import { mkdtemp, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import zlib from "node:zlib";
import { HoldfastError } from "../../base/mod.ts";
import { openByteSource } from "./byte-source.ts";
import { CUT_OFF, Lz4Decoder } from "./lz4.ts";

/** Zeros are looked for in pieces of this size: the blocks of file systems. */
const PIECE_BYTES = 4096;
const ZEROS = Buffer.alloc(PIECE_BYTES);

export type Compression = "zstd" | "lz4" | "gzip";

export interface PlainCore {
  readonly path: string;
  readonly compression: Compression;
  readonly bytes: number;
  /** What was wrong with the end of the stream; null: it was whole. */
  readonly damage: string | null;
  /** Removes the temporary file; may be called twice. */
  remove(): void;
}

export interface DecompressOptions {
  /** Where the temporary file goes. */
  readonly folder?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (readBytes: number, totalBytes: number) => void;
}

/** How a file is compressed, by its first bytes; null: it is not, or in another way. */
export function compressionOf(file: string): Compression | null {
  const source = openByteSource(file);
  try {
    const start = source.slice(0, 4);
    if (start.length < 4) return null;
    const magic = start.readUInt32LE(0);
    if (magic === 0xfd2f_b528) return "zstd";
    if (magic === 0x184d_2204) return "lz4";
    return (magic & 0xffff) === 0x8b1f ? "gzip" : null;
  } finally {
    source.close();
  }
}

/**
 * Decompresses a core; null when it is not compressed. A stream that ends too early gives what was
 * there: a core that was cut off.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE when there is no room for it.
 */
export async function decompressCore(
  file: string,
  { folder = os.tmpdir(), signal, onProgress }: DecompressOptions = {},
): Promise<PlainCore | null> {
  const compression = compressionOf(file);
  if (compression === null) return null;
  const directory = await mkdtemp(path.join(folder, "holdfast-core-"));
  const plain = path.join(directory, path.basename(file).replace(/\.(zst|lz4|gz)$/, ""));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    const output = await open(plain, "w", 0o600);
    const writer = new SparseWriter(output);
    try {
      const damage = await pump(file, compression, writer, signal, onProgress);
      const bytes = await writer.end();
      return { path: plain, compression, bytes, damage, remove };
    } finally {
      await output.close();
    }
  } catch (error) {
    remove();
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
    throw new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_WRITE",
      `Cannot decompress ${file} to ${folder}: the disk is full. ` +
        `Set TMPDIR to a place with more room.`,
      { cause: error },
    );
  }
}

/** What was wrong with the stream, if something was. */
async function pump(
  file: string,
  compression: Compression,
  writer: SparseWriter,
  signal: AbortSignal | undefined,
  onProgress: DecompressOptions["onProgress"],
): Promise<string | null> {
  const input = createReadStream(file, { highWaterMark: 1024 * 1024 });
  const totalBytes = openedSize(file);
  let failure: Error | null = null;
  try {
    await pipeline(
      input,
      decoderOf(compression),
      async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) {
          try {
            await writer.write(chunk);
          } catch (error) {
            failure = error as Error; // of node:fs
            throw error;
          }
          onProgress?.(input.bytesRead, totalBytes);
        }
      },
      signal === undefined ? {} : { signal },
    );
    return null;
  } catch (error) {
    if (failure !== null || signal?.aborted === true) throw error;
    const isCutOff =
      (error as NodeJS.ErrnoException).code === "Z_BUF_ERROR" ||
      (error as Error).message === CUT_OFF;
    return isCutOff
      ? "the compressed file is cut off"
      : `it is damaged: ${(error as Error).message}`;
  }
}

function openedSize(file: string): number {
  const source = openByteSource(file);
  source.close();
  return source.size;
}

function decoderOf(compression: Compression): Transform {
  if (compression === "lz4") return new Lz4Decoder();
  return compression === "gzip" ? zlib.createGunzip() : zlib.createZstdDecompress();
}

/** Writes a stream to a file, and leaves out whole pieces of zeros. */
class SparseWriter {
  readonly #output: FileHandle;
  #rest: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(output: FileHandle) {
    this.#output = output;
  }

  async write(chunk: Buffer): Promise<void> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const whole = bytes.length - (bytes.length % PIECE_BYTES);
    for (let from = 0; from < whole;) {
      let to = from;
      const isZero = isZeroPiece(bytes, from);
      while (to < whole && isZeroPiece(bytes, to) === isZero) to += PIECE_BYTES;
      if (!isZero) await this.#put(bytes.subarray(from, to));
      this.#at += to - from;
      from = to;
    }
    this.#rest = Buffer.from(bytes.subarray(whole));
  }

  /** The size of the file. */
  async end(): Promise<number> {
    await this.#put(this.#rest);
    this.#at += this.#rest.length;
    this.#rest = Buffer.alloc(0);
    await this.#output.truncate(this.#at);
    return this.#at;
  }

  async #put(bytes: Buffer): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const position = this.#at + done;
      const { bytesWritten } = await this.#output.write(bytes, done, bytes.length - done, position);
      done += bytesWritten;
    }
  }
}

function isZeroPiece(bytes: Buffer, from: number): boolean {
  return bytes.compare(ZEROS, 0, PIECE_BYTES, from, from + PIECE_BYTES) === 0;
}
