/**
 * The memory of a process that is not running: bytes by address, from a core file, a stopped
 * process, or the files that were mapped into it.
 *
 * ```
 *   u32(address) --> block of the cache --> region --> its source: core, /proc/PID/mem, binary
 *                       (64 KiB or 4 KiB)    (sorted, found by bisection)
 * ```
 * Nothing is loaded as a whole: a core of 16 GB is read in blocks, of which a bounded number is
 * kept. User space addresses are below 2^47 (2^56 with five levels, of which glibc and V8 use
 * nothing), so plain numbers hold them.
 */

const PAGE_BYTES = 4096;
/** 1,024 blocks of 64 KiB: the memory that reading costs, whatever the size of the core. */
const CACHE_BYTES_MAX = 64 * 1024 * 1024;
/** Blocks that are found without the cache: who walks objects goes to and fro between some. */
const FRONT_BLOCKS = 256;

/** Bytes are not there: not dumped, not mapped, not readable, or the address is nonsense. */
export class NotInMemory extends Error {
  readonly address: number;

  constructor(address: number) {
    // it is thrown by the thousand where pointers are garbage: no stack
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(`no memory at 0x${address.toString(16)}`);
    Error.stackTraceLimit = limit;
    this.name = "NotInMemory";
    this.address = address;
  }
}

/** Bytes of a process. Everything but `read` and `readInto` throws `NotInMemory`. */
export interface Memory {
  /** A copy of [address, address + length); null when any byte of it is not there. */
  read(address: number, length: number): Buffer | null;
  /** Fills what is there; the number of leading bytes that are. */
  readInto(address: number, into: Buffer): number;
  u8(address: number): number;
  u16(address: number): number;
  u32(address: number): number;
  i32(address: number): number;
  f64(address: number): number;
  /** 64 bits, exact below 2^53: tags are to be tested with `u32`. */
  word(address: number): number;
  /** The same, exact. */
  bigWord(address: number): bigint;
}

/** Addresses [start, end) and where their bytes come from. */
export interface Region {
  readonly start: number;
  readonly end: number;
  /** Fills `into` from `offset` behind `start`; the number of leading bytes that it could fill. */
  read(offset: number, into: Buffer): number;
}

interface Block {
  readonly start: number;
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  /** One for each page: 1 when it is there. */
  readonly pages: Uint8Array;
  /** Asked for since it was last looked at for being dropped. */
  isUsed: boolean;
}

const NO_BLOCK: Block = {
  start: -1,
  bytes: Buffer.alloc(0),
  words: new Uint32Array(0),
  pages: new Uint8Array(0),
  isUsed: false,
};

/** The last region that starts at or below `address`, or -1. */
function regionAt(regions: readonly Region[], address: number): number {
  let low = 0;
  let high = regions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((regions[middle] as Region).start <= address) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function emptyFront(): Block[] {
  return Array.from({ length: FRONT_BLOCKS }, () => NO_BLOCK);
}

/** Memory made of regions, which are sorted and do not overlap; see the file's docstring. */
export class RegionMemory implements Memory {
  readonly #regions: readonly Region[];
  readonly #blockBytes: number;
  readonly #blocksMax: number;
  readonly #blocks = new Map<number, Block>();
  /** By the last bits of their number. */
  #front = emptyFront();
  readonly #scratch = Buffer.alloc(8);
  #last = NO_BLOCK;

  /** `blockBytes`: a power of two, at least 4096: how much is read at a time. */
  constructor(regions: readonly Region[], blockBytes: number) {
    this.#regions = regions;
    this.#blockBytes = blockBytes;
    this.#blocksMax = Math.max(1, CACHE_BYTES_MAX / blockBytes);
  }

  read(address: number, length: number): Buffer | null {
    if (!(length >= 0)) return null;
    const into = Buffer.allocUnsafe(length);
    return this.readInto(address, into) === length ? into : null;
  }

  readInto(address: number, into: Buffer): number {
    if (!Number.isSafeInteger(address) || address < 0) return 0;
    let done = 0;
    while (done < into.length) {
      const block = this.#block(address + done);
      const at = address + done - block.start;
      const page = Math.floor(at / PAGE_BYTES);
      if (block.pages[page] !== 1) break;
      let end = (page + 1) * PAGE_BYTES;
      while (end < this.#blockBytes && block.pages[end / PAGE_BYTES] === 1) end += PAGE_BYTES;
      const count = Math.min(end - at, into.length - done);
      block.bytes.copy(into, done, at, at + count);
      done += count;
    }
    return done;
  }

  u8(address: number): number {
    const block = this.#present(address);
    return block.bytes[address - block.start] as number; // present
  }

  u16(address: number): number {
    return this.u8(address) | (this.u8(address + 1) << 8);
  }

  u32(address: number): number {
    if ((address & 3) !== 0) return this.#unaligned(address, 4).readUInt32LE(0);
    const block = this.#present(address);
    return block.words[(address - block.start) >>> 2] as number; // present
  }

  i32(address: number): number {
    return this.u32(address) | 0;
  }

  f64(address: number): number {
    return this.#unaligned(address, 8).readDoubleLE(0);
  }

  word(address: number): number {
    if ((address & 7) !== 0) {
      const bytes = this.#unaligned(address, 8);
      return bytes.readUInt32LE(0) + bytes.readUInt32LE(4) * 0x1_0000_0000;
    }
    const block = this.#present(address);
    const index = (address - block.start) >>> 2;
    // present: a block holds whole words
    return (block.words[index] as number) + (block.words[index + 1] as number) * 0x1_0000_0000;
  }

  bigWord(address: number): bigint {
    return this.#unaligned(address, 8).readBigUInt64LE(0);
  }

  /** Forgets what was read: a live process has run on. */
  forget(): void {
    this.#blocks.clear();
    this.#front = emptyFront();
    this.#last = NO_BLOCK;
  }

  #unaligned(address: number, bytes: number): Buffer {
    const view = this.#scratch.subarray(0, bytes);
    if (this.readInto(address, view) < bytes) throw new NotInMemory(address);
    return view;
  }

  /** The block of an address whose page is there. */
  #present(address: number): Block {
    const last = this.#last;
    const at = address - last.start;
    if (last.start >= 0 && at >= 0 && at < last.bytes.length) {
      if (last.pages[(at / PAGE_BYTES) | 0] === 1) return last;
      throw new NotInMemory(address);
    }
    if (!Number.isSafeInteger(address) || address < 0) throw new NotInMemory(address);
    const block = this.#block(address);
    if (block.pages[((address - block.start) / PAGE_BYTES) | 0] !== 1) {
      throw new NotInMemory(address);
    }
    return block;
  }

  #block(address: number): Block {
    const number = Math.floor(address / this.#blockBytes); // its remainder would be slow to get
    const start = number * this.#blockBytes;
    const place = number & (FRONT_BLOCKS - 1);
    let block = this.#front[place] ?? NO_BLOCK;
    if (block.start !== start) {
      block = this.#blocks.get(start) ?? this.#keep(this.#load(start));
      this.#front[place] = block;
    }
    block.isUsed = true;
    this.#last = block;
    return block;
  }

  #keep(block: Block): Block {
    if (this.#blocks.size >= this.#blocksMax) this.#dropOne();
    this.#blocks.set(block.start, block);
    return block;
  }

  /** The oldest that was not asked for since its last turn ("clock"). */
  #dropOne(): void {
    for (const [start, block] of this.#blocks) {
      this.#blocks.delete(start);
      if (!block.isUsed) {
        const place = (start / this.#blockBytes) & (FRONT_BLOCKS - 1);
        if (this.#front[place] === block) this.#front[place] = NO_BLOCK;
        return;
      }
      block.isUsed = false;
      this.#blocks.set(start, block); // behind the others: it is met again when all were used
    }
  }

  #load(start: number): Block {
    const bytes = Buffer.from(new ArrayBuffer(this.#blockBytes));
    const pages = new Uint8Array(this.#blockBytes / PAGE_BYTES);
    const end = start + this.#blockBytes;
    const first = Math.max(0, regionAt(this.#regions, start));
    for (let index = first; index < this.#regions.length; index += 1) {
      const region = this.#regions[index] as Region; // below the length
      if (region.start >= end) break;
      const from = Math.max(start, region.start);
      const to = Math.min(end, region.end);
      if (from < to) fill(region, from, bytes.subarray(from - start, to - start), pages, start);
    }
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    return { start, bytes, words, pages, isUsed: true };
  }
}

/** Reads a part of a region, and goes on behind a page that cannot be read. */
function fill(region: Region, from: number, into: Buffer, pages: Uint8Array, start: number): void {
  for (let at = 0; at < into.length;) {
    const count = region.read(from + at - region.start, into.subarray(at));
    const whole = count - (count % PAGE_BYTES);
    for (let page = 0; page < whole; page += PAGE_BYTES) {
      pages[(from + at + page - start) / PAGE_BYTES] = 1;
    }
    if (at + whole >= into.length) return;
    at += whole + PAGE_BYTES;
  }
}
