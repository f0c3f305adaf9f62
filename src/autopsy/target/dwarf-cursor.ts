/** Reads the numbers of DWARF: LEB128, encoded pointers (Linux Standard Base 10.5.1), blocks. */

const PC_RELATIVE = 0x10;
const DATA_RELATIVE = 0x30;

/** A place in bytes whose first one has an address. Throws RangeError beyond the end. */
export class DwarfCursor {
  readonly #bytes: Buffer;
  readonly #address: number;
  at = 0;

  constructor(bytes: Buffer, address: number) {
    this.#bytes = bytes;
    this.#address = address;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  skip(bytes: number): void {
    if (!(bytes >= 0)) throw new RangeError("backwards");
    this.at += bytes;
  }

  u8(): number {
    this.at += 1;
    return this.#bytes.readUInt8(this.at - 1);
  }

  u16(): number {
    this.at += 2;
    return this.#bytes.readUInt16LE(this.at - 2);
  }

  u32(): number {
    this.at += 4;
    return this.#bytes.readUInt32LE(this.at - 4);
  }

  u64(): number {
    const low = this.u32();
    return low + this.u32() * 0x1_0000_0000;
  }

  i64(): number {
    const low = this.u32();
    return low + (this.u32() | 0) * 0x1_0000_0000;
  }

  unsigned(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const byte = this.u8();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw new RangeError("LEB128 without end");
  }

  signed(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const byte = this.u8();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return (byte & 0x40) === 0 ? value : value - factor * 128;
    }
    throw new RangeError("LEB128 without end");
  }

  text(): string {
    const end = this.#bytes.indexOf(0, this.at);
    if (end < 0) throw new RangeError("text without end");
    const text = this.#bytes.toString("latin1", this.at, end);
    this.at = end + 1;
    return text;
  }

  block(): Buffer {
    const length = this.unsigned();
    this.at += length;
    if (this.at > this.#bytes.length) throw new RangeError("block beyond the end");
    return this.#bytes.subarray(this.at - length, this.at);
  }

  /** A pointer in one of the encodings DW_EH_PE_*; `base`: what data-relative ones count from. */
  pointer(encoding: number, base: number): number {
    const here = this.#address + this.at;
    const value = this.#number(encoding & 0x0f);
    const relative = encoding & 0x70;
    if (relative === PC_RELATIVE) return here + value;
    return relative === DATA_RELATIVE ? base + value : value;
  }

  #number(format: number): number {
    switch (format) {
      case 0x00:
      case 0x04:
        return this.u64();
      case 0x01:
        return this.unsigned();
      case 0x02:
        return this.u16();
      case 0x03:
        return this.u32();
      case 0x09:
        return this.signed();
      case 0x0a:
        return (this.u16() << 16) >> 16;
      case 0x0b:
        return this.u32() | 0;
      case 0x0c:
        return this.i64();
      default:
        throw new RangeError(`pointer encoding ${format}`);
    }
  }
}
