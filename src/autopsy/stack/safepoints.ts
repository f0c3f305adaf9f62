/**
 * Safepoint tables: for each return address of optimised code, the deoptimisation point that tells
 * which JavaScript frames are there. They lie behind the instructions
 * (src/codegen/safepoint-table.h
 * and maglev-safepoint-table.h).
 *
 * ```
 *            12.4 TurboFan   13.6, 14.6 TurboFan      12.4 Maglev      13.6, 14.6 Maglev
 *   header   length          stack slots              length           stack slots
 *            configuration   length                   configuration    length
 *                            configuration            tagged slots     configuration
 *                                                     untagged slots   tagged slots
 *   entry    pc, deopt index + 1, trampoline + 1, [pushed registers: Maglev], register bits
 *   then     TurboFan: a bit for each stack slot and entry
 *
 *   configuration: bit 0 has deopt data, 1-3 bytes of register bits, 4-6 bytes of a pc,
 *                  7-9 bytes of a deopt index, 10-31 TurboFan: bytes of slot bits
 * ```
 */

export interface SafepointTableFormat {
  /** True when the header begins with the number of stack slots (since V8 13). */
  readonly hasStackSlots: boolean;
}

export interface Safepoint {
  /** Offset of a return address in the code. */
  readonly pc: number;
  /** Row of the deoptimisation data; -1 when there is none. */
  readonly deoptIndex: number;
  /** Where the return address points once the code is deoptimised; -1 when there is none. */
  readonly trampoline: number;
}

/** A function that V8 optimises is at most some 100 kB of bytecode. */
const ENTRIES_MAX = 1_000_000;

/** All integers of the table in a row: sizes vary, so there is one reader for all of them. */
function readInteger(bytes: Buffer, offset: number, size: number): number {
  return size === 0 ? 0 : bytes.readUIntLE(offset, size);
}

interface Header {
  readonly bytes: number;
  readonly length: number;
  readonly hasDeoptData: boolean;
  readonly registerBytes: number;
  readonly pcBytes: number;
  readonly deoptBytes: number;
  readonly slotBytes: number;
  readonly entryBytes: number;
}

/** Null when there is none, or sizes that no table has. */
function readHeader(
  bytes: Buffer,
  kind: "maglev" | "turbofan",
  { hasStackSlots }: SafepointTableFormat,
): Header | null {
  const lengthOffset = hasStackSlots ? 4 : 0;
  const headerBytes = kind === "maglev" ? 16 : lengthOffset + 8;
  if (bytes.length < headerBytes) return null;
  const length = bytes.readUInt32LE(lengthOffset);
  const configuration = bytes.readUInt32LE(lengthOffset + 4);
  const hasDeoptData = (configuration & 1) === 1;
  const registerBytes = (configuration >>> 1) & 7;
  const pcBytes = (configuration >>> 4) & 7;
  const deoptBytes = (configuration >>> 7) & 7;
  if (registerBytes > 4 || pcBytes > 4 || deoptBytes > 4) return null;
  const deoptEntryBytes = hasDeoptData ? deoptBytes + pcBytes : 0;
  const entryBytes = pcBytes + deoptEntryBytes + (kind === "maglev" ? 1 : 0) + registerBytes;
  const isWhole = length <= ENTRIES_MAX && headerBytes + length * entryBytes <= bytes.length;
  if (!isWhole) return null;
  const slotBytes = kind === "maglev" ? 0 : configuration >>> 10;
  const sizes = { registerBytes, pcBytes, deoptBytes, slotBytes, entryBytes };
  return { bytes: headerBytes, length, hasDeoptData, ...sizes };
}

/** Bytes of the whole table, with the bits of its slots; Infinity when this is none. */
export function safepointBytes(
  bytes: Buffer,
  kind: "maglev" | "turbofan",
  format: SafepointTableFormat,
): number {
  const header = readHeader(bytes, kind, format);
  if (header === null) return Number.POSITIVE_INFINITY;
  return header.bytes + header.length * (header.entryBytes + header.slotBytes);
}

/**
 * @param bytes the code's metadata from the start of the table; the table may be shorter
 * @param deoptCount rows of the deoptimisation data
 * @returns null when this is no such table: pcs that do not ascend or lie outside of the code, rows
 *   that do not exist, a table that does not fit
 */
export function readSafepoints(
  bytes: Buffer,
  kind: "maglev" | "turbofan",
  format: SafepointTableFormat,
  { codeBytes, deoptCount }: { readonly codeBytes: number; readonly deoptCount: number },
): readonly Safepoint[] | null {
  const header = readHeader(bytes, kind, format);
  if (header === null) return null;
  const { length, hasDeoptData, pcBytes, deoptBytes, entryBytes } = header;
  const safepoints: Safepoint[] = [];
  let last = -1;
  for (let index = 0; index < length; index++) {
    const offset = header.bytes + index * entryBytes;
    const pc = readInteger(bytes, offset, pcBytes);
    let deoptIndex = -1;
    let trampoline = -1;
    if (hasDeoptData) {
      deoptIndex = readInteger(bytes, offset + pcBytes, deoptBytes) - 1;
      trampoline = readInteger(bytes, offset + pcBytes + deoptBytes, pcBytes) - 1;
    }
    const isPlausible = pc > last && pc <= codeBytes && deoptIndex < deoptCount;
    if (!isPlausible || trampoline > codeBytes) return null;
    last = pc;
    safepoints.push({ pc, deoptIndex, trampoline });
  }
  return safepoints;
}

/** The safepoint of a return address, which may already be the one of its trampoline. */
export function safepointAt(
  safepoints: readonly Safepoint[],
  pcOffset: number,
): Safepoint | undefined {
  return safepoints.find(
    ({ pc, trampoline }) => pc === pcOffset || (trampoline >= 0 && trampoline === pcOffset),
  );
}
