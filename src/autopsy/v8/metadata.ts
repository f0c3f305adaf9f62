/**
 * What a node binary says of its own V8: the `v8dbg_` constants, which V8 puts there for
 * post-mortem
 * tools (tools/gen-postmortem-metadata.py), tables by their mangled names, and the version.
 */
import type { ElfFile } from "../target/elf.ts";
import {
  ADD_POSITION,
  BYTECODE_SIZES,
  CONSTANTS,
  OPERAND_COUNTS,
  VERSION_STRING,
} from "../target/v8-names.ts";

const COUNTS = "6counts";
const POSITIONS_WITH_BREAKABLE = /26SourcePositionTableBuilder11AddPosition.*Ebb$/u;
const TABLE_BYTES_MAX = 65_536;

export interface Metadata {
  /** "13.6.233.17-node.53" */
  readonly version: string;
  /** `v8dbg_` constants by name, the prefix taken off. */
  readonly constants: ReadonlyMap<string, number>;
  /** `Bytecodes::kBytecodeSizes`, three rows; null when the symbol is stripped. */
  readonly bytecodeSizes: Buffer | null;
  /** Operands of each operation of a translation; null when the symbol is stripped. */
  readonly translationOperands: readonly number[] | null;
  /** True when entries of position tables have the flag "is breakable" (V8 14.x). */
  readonly hasBreakablePositions: boolean;
}

/** Bytes of the binary by address; fewer where the file ends. */
function bytesAt(binary: ElfFile, address: number, length: number): Buffer {
  const offset = binary.offsetOf(address);
  return offset === null ? Buffer.alloc(0) : binary.source.slice(offset, length);
}

/** As in `Metadata`; empty where the binary does not say. */
export function readVersion(binary: ElfFile): string {
  const symbol = binary.symbols.named(VERSION_STRING);
  if (symbol === null) return "";
  const pointer = bytesAt(binary, symbol.address, 8);
  if (pointer.length < 8) return "";
  const text = bytesAt(binary, Number(pointer.readBigUInt64LE(0)), 64);
  return text.toString("latin1", 0, Math.max(0, text.indexOf(0)));
}

/** All that is there; a binary without V8 gives an empty version and no constants. */
export function readMetadata(binary: ElfFile): Metadata {
  const constants = new Map<string, number>();
  let bytecodeSizes: Buffer | null = null;
  let translationOperands: number[] | null = null;
  let hasBreakablePositions = false;
  const wanted = [CONSTANTS, OPERAND_COUNTS, ADD_POSITION, BYTECODE_SIZES, VERSION_STRING];
  for (const { name, address, bytes } of binary.symbols.beginning(...wanted)) {
    if (name.startsWith(CONSTANTS)) {
      const value = bytesAt(binary, address, 4);
      // A constant that is 0 lies in .bss: it has an address and no bytes in the file.
      constants.set(name.slice(CONSTANTS.length), value.length === 4 ? value.readInt32LE(0) : 0);
    } else if (name === BYTECODE_SIZES) {
      bytecodeSizes = bytesAt(binary, address, bytes % TABLE_BYTES_MAX);
    } else if (name.startsWith(OPERAND_COUNTS) && name.endsWith(COUNTS)) {
      const table = bytesAt(binary, address, bytes % TABLE_BYTES_MAX);
      translationOperands = [];
      for (let at = 0; at + 4 <= table.length; at += 4)
        translationOperands.push(table.readInt32LE(at));
    } else if (POSITIONS_WITH_BREAKABLE.test(name)) hasBreakablePositions = true;
  }
  const version = readVersion(binary);
  return { version, constants, bytecodeSizes, translationOperands, hasBreakablePositions };
}
