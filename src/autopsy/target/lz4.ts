/**
 * The LZ4 frame format (lz4_Frame_format.md and lz4_Block_format.md of the LZ4 project, 1.6.x): for
 * cores that systemd has written. Checksums are not compared: a damaged core is read as far as it
 * goes anyway.
 */
import { Transform } from "node:stream";
import type { TransformCallback } from "node:stream";

const MAGIC = 0x184d_2204;
/** Skippable frames: 0x184D2A50 to 5F. */
const SKIPPABLE = 0x184d_2a50;
/** How far back a match may reach. */
const WINDOW_BYTES = 64 * 1024;
const BLOCK_BYTES = [0, 0, 0, 0, 64 * 1024, 256 * 1024, 1024 * 1024, 4 * 1024 * 1024] as const;
const MATCH_BYTES_MIN = 4;
/** What is said of a stream that ends too early. */
export const CUT_OFF = "the compressed file is cut off";

interface Frame {
  readonly blockBytesMax: number;
  readonly isLinked: boolean;
  readonly hasBlockChecksum: boolean;
  readonly hasContentChecksum: boolean;
}

/** Decodes frames, one after the other. */
export class Lz4Decoder extends Transform {
  #input: Buffer = Buffer.alloc(0);
  #frame: Frame | null = null;
  #window: Buffer = Buffer.alloc(0);
  #skipBytes = 0;

  override _transform(chunk: Buffer, _encoding: string, callback: TransformCallback): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    try {
      while (this.#step());
      callback();
    } catch (error) {
      callback(error as Error); // of ours
    }
  }

  override _flush(callback: TransformCallback): void {
    const isWhole = this.#frame === null && this.#input.length === 0 && this.#skipBytes === 0;
    callback(isWhole ? null : new RangeError(CUT_OFF));
  }

  /** True when there may be more to do. */
  #step(): boolean {
    if (this.#skipBytes > 0) {
      const count = Math.min(this.#skipBytes, this.#input.length);
      this.#skipBytes -= count;
      this.#input = this.#input.subarray(count);
      return count > 0;
    }
    return this.#frame === null ? this.#begin() : this.#block(this.#frame);
  }

  #begin(): boolean {
    const input = this.#input;
    if (input.length < 8) return false;
    const magic = input.readUInt32LE(0);
    if ((magic & 0xffff_fff0) >>> 0 === SKIPPABLE) {
      this.#skipBytes = 8 + input.readUInt32LE(4);
      return true;
    }
    if (magic !== MAGIC) throw new RangeError("not an LZ4 frame");
    const flags = input.readUInt8(4);
    if (flags >>> 6 !== 1) throw new RangeError("unknown version of LZ4 frames");
    const hasSize = (flags & 0x08) !== 0;
    const hasDictionary = (flags & 0x01) !== 0;
    const headerBytes = 7 + (hasSize ? 8 : 0) + (hasDictionary ? 4 : 0);
    if (input.length < headerBytes) return false;
    const blockBytesMax = BLOCK_BYTES[(input.readUInt8(5) >>> 4) & 7] ?? 0;
    if (blockBytesMax === 0) throw new RangeError("unknown size of LZ4 blocks");
    this.#frame = {
      blockBytesMax,
      isLinked: (flags & 0x20) === 0,
      hasBlockChecksum: (flags & 0x10) !== 0,
      hasContentChecksum: (flags & 0x04) !== 0,
    };
    this.#window = Buffer.alloc(0);
    this.#input = input.subarray(headerBytes);
    return true;
  }

  #block(frame: Frame): boolean {
    const input = this.#input;
    if (input.length < 4) return false;
    const word = input.readUInt32LE(0);
    if (word === 0) {
      const end = 4 + (frame.hasContentChecksum ? 4 : 0);
      if (input.length < end) return false;
      this.#input = input.subarray(end);
      this.#frame = null;
      return true;
    }
    const isPlain = word >>> 31 === 1;
    const bytes = word & 0x7fff_ffff;
    if (bytes > frame.blockBytesMax + 64 * 1024) throw new RangeError("an LZ4 block is too large");
    const end = 4 + bytes + (frame.hasBlockChecksum ? 4 : 0);
    if (input.length < end) return false;
    const data = input.subarray(4, 4 + bytes);
    const window = frame.isLinked ? this.#window : Buffer.alloc(0);
    const decoded = isPlain ? Buffer.from(data) : decodeBlock(data, window, frame.blockBytesMax);
    this.push(decoded);
    this.#window = Buffer.concat([window, decoded]).subarray(-WINDOW_BYTES);
    this.#input = input.subarray(end);
    return true;
  }
}

/** One block; matches may reach back into `window`. */
export function decodeBlock(data: Buffer, window: Buffer, bytesMax: number): Buffer {
  const output = Buffer.allocUnsafe(window.length + bytesMax);
  window.copy(output, 0);
  let at = 0;
  let to = window.length;
  const length = (start: number): number => {
    if (start < 15) return start;
    let total = start;
    for (;;) {
      const more = data.readUInt8(at);
      at += 1;
      total += more;
      if (more !== 255) return total;
    }
  };
  while (at < data.length) {
    const token = data.readUInt8(at);
    at += 1;
    const literals = length(token >>> 4);
    if (at + literals > data.length || to + literals > output.length) {
      throw new RangeError("an LZ4 block is damaged");
    }
    data.copy(output, to, at, at + literals);
    at += literals;
    to += literals;
    if (at >= data.length) break; // the last sequence has no match
    const distance = data.readUInt16LE(at);
    at += 2;
    const count = length(token & 15) + MATCH_BYTES_MIN;
    if (distance === 0 || distance > to || to + count > output.length) {
      throw new RangeError("an LZ4 block is damaged");
    }
    if (distance >= count) output.copy(output, to, to - distance, to - distance + count);
    else {
      // the match runs into what it writes
      for (let index = 0; index < count; index += 1) {
        output[to + index] = output[to - distance + index] as number; // below `to`
      }
    }
    to += count;
  }
  return Buffer.from(output.subarray(window.length, to));
}
