/**
 * Baseline (Sparkplug) code is one piece of machine code for each bytecode, in the same order. Its
 * offset table holds the length of each piece; walking table and bytecode side by side gives the
 * bytecode of a pc (`BytecodeOffsetIterator`, src/baseline/bytecode-offset-iterator.cc).
 *
 * ```
 *   table      12     5      9      31
 *   machine  |prolog|piece0|piece1|piece2 ...
 *   bytecode  -1     0      2      5
 * ```
 */
import { ByteCursor } from "./byte-cursor.ts";

/** Bytecodes 0 and 1 are the prefixes `Wide` and `ExtraWide`; 2 to 5 are the debugger's. */
const WIDE = 0;
const EXTRA_WIDE = 1;
const DEBUG_BREAK_WIDE = 2;
const DEBUG_BREAK_EXTRA_WIDE = 3;

/** Sizes of all bytecodes, with their own byte and without a prefix. */
export interface BytecodeSizes {
  /** Bytecodes in one scale. */
  readonly count: number;
  /** `kBytecodeSizes` of the binary: three rows of `count`: single, double and quadruple. */
  readonly sizes: Uint8Array;
}

/** Length of the bytecode at an offset, its prefix included; 0 when there is none. */
export function bytecodeSizeAt(
  bytecodes: Uint8Array,
  offset: number,
  { count, sizes }: BytecodeSizes,
): number {
  const first = bytecodes[offset];
  if (first === undefined) return 0;
  let scale = 0;
  if (first === WIDE || first === DEBUG_BREAK_WIDE) scale = 1;
  if (first === EXTRA_WIDE || first === DEBUG_BREAK_EXTRA_WIDE) scale = 2;
  if (scale === 0) return first < count ? (sizes[first] ?? 0) : 0;
  const second = bytecodes[offset + 1];
  if (second === undefined || second >= count) return 0;
  return 1 + (sizes[scale * count + second] ?? 0);
}

/**
 * The bytecode that the machine code before a return address belongs to.
 *
 * @returns -1 for the prologue; null when table and bytecode do not reach that far
 */
export function bytecodeOffsetOfReturn(
  table: Uint8Array,
  bytecodes: Uint8Array,
  sizes: BytecodeSizes,
  returnOffset: number,
): number | null {
  const cursor = new ByteCursor(table);
  let bytecodeOffset = -1;
  let end = cursor.unsigned();
  while (end < returnOffset) {
    if (cursor.isAtEnd) return null;
    end += cursor.unsigned();
    const size = bytecodeOffset < 0 ? 0 : bytecodeSizeAt(bytecodes, bytecodeOffset, sizes);
    if (bytecodeOffset >= 0 && size === 0) return null;
    bytecodeOffset = bytecodeOffset < 0 ? 0 : bytecodeOffset + size;
    if (cursor.isBroken || bytecodeOffset >= bytecodes.length) return null;
  }
  return bytecodeOffset;
}

/** True when an offset is where a bytecode starts: a check against made-up offsets. */
export function isBytecodeStart(
  bytecodes: Uint8Array,
  sizes: BytecodeSizes,
  offset: number,
): boolean {
  let at = 0;
  while (at < offset) {
    const size = bytecodeSizeAt(bytecodes, at, sizes);
    if (size === 0) return false;
    at += size;
  }
  return at === offset && at < bytecodes.length;
}
