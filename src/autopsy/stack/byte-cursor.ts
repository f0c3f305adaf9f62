/**
 * Reads the variable-length integers of V8's tables. The tables come from a core that may be
 * damaged,
 * so nothing here throws: after the end (or after an integer that is longer than any real one) the
 * cursor is `isBroken`, and every further read gives 0.
 *
 * Three encodings, all with 7 bits a byte, lowest first, the top bit for "more follows":
 *
 * | name | sign | used by | source |
 * | --- | --- | --- | --- |
 * | unsigned | none | baseline offset tables, opcodes' operands | src/base/vlq.h |
 * | signed | lowest bit, magnitude above it | operands of translations | src/base/vlq.h |
 * | zigzag | lowest bit, two's complement above it | position tables | source-position-table.cc |
 */

/** Bytes of the longest integer that V8 writes: 64 bits, 7 to a byte. */
const INTEGER_BYTES_MAX = 10;

export class ByteCursor {
  readonly bytes: Uint8Array;
  index: number;
  isBroken = false;

  constructor(bytes: Uint8Array, index = 0) {
    this.bytes = bytes;
    this.index = index;
    this.isBroken = index < 0;
  }

  get isAtEnd(): boolean {
    return this.isBroken || this.index >= this.bytes.length;
  }

  byte(): number {
    const value = this.isBroken ? undefined : this.bytes[this.index];
    if (value === undefined) {
      this.isBroken = true;
      return 0;
    }
    this.index += 1;
    return value;
  }

  /** Exact up to 2^53: positions with an inlining id need 47 bits, so no 32-bit operators. */
  unsigned(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < INTEGER_BYTES_MAX; count++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if ((byte & 0x80) === 0) return value;
      scale *= 128;
    }
    this.isBroken = true;
    return 0;
  }

  signed(): number {
    const value = this.unsigned();
    const magnitude = Math.floor(value / 2);
    return value % 2 === 1 ? -magnitude : magnitude;
  }

  zigzag(): number {
    const value = this.unsigned();
    const half = Math.floor(value / 2);
    return value % 2 === 1 ? -half - 1 : half;
  }
}
