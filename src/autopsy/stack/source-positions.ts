/**
 * Source position tables: which character of the source an offset of code stands for. Bytecode and
 * optimised code carry the same format (src/codegen/source-position-table.cc), baseline code none.
 *
 * An entry is a pair of integers, each the difference to the entry before: the offset in the code,
 * which starts at -1 (`kFunctionEntryBytecodeOffset`), and the raw position:
 *
 * ```
 *  bit 0      external (a builtin's own C++ line; not JavaScript)
 *  bits 1-30  offset in the script + 1
 *  bits 31-46 inlining id + 1 (0: not inlined)
 * ```
 *
 * The flag "is a statement" lies in the offset: as its sign up to V8 13, since V8 14.x in the
 * lowest
 * bits beside "is breakable".
 */
import { ByteCursor } from "./byte-cursor.ts";

/** How the offset of an entry carries its flags. */
export type PositionFormat =
  /** `offset` of a statement, `-offset - 1` otherwise (V8 12.4 and 13.6). */
  | "sign"
  /** `offset << 2 | breakable << 1 | statement`, without zigzag (V8 14.6). */
  | "flags";

export interface SourcePosition {
  readonly codeOffset: number;
  /** Index of a character in the script's source. */
  readonly scriptOffset: number;
  /** Row of the inlining positions of the code; -1: the function itself. */
  readonly inliningId: number;
  readonly isStatement: boolean;
}

const SCRIPT_OFFSET_RANGE = 2 ** 30;
const INLINING_ID_RANGE = 2 ** 16;
/** No real table has more: a function of a megabyte has about 100,000. */
const ENTRIES_MAX = 1_000_000;

/** What a raw position says; null when it is no position in JavaScript. */
export function decodeRawPosition(
  raw: number,
): { readonly scriptOffset: number; readonly inliningId: number } | null {
  if (raw < 0 || raw % 2 === 1) return null;
  const scriptOffset = (Math.floor(raw / 2) % SCRIPT_OFFSET_RANGE) - 1;
  const inliningId = (Math.floor(raw / 2 ** 31) % INLINING_ID_RANGE) - 1;
  return scriptOffset < 0 ? null : { scriptOffset, inliningId };
}

/** Entries in the order of their code offsets; ends early at the first byte that cannot be read. */
export function* sourcePositions(
  table: Uint8Array,
  format: PositionFormat,
): Generator<SourcePosition, void, undefined> {
  const cursor = new ByteCursor(table);
  let codeOffset = -1;
  let raw = 0;
  for (let count = 0; count < ENTRIES_MAX && !cursor.isAtEnd; count++) {
    const first = format === "sign" ? cursor.zigzag() : cursor.unsigned();
    raw += cursor.zigzag();
    if (cursor.isBroken) return;
    let isStatement = false;
    if (format === "sign") {
      isStatement = first >= 0;
      codeOffset += isStatement ? first : -first - 1;
    } else {
      isStatement = first % 2 === 1;
      codeOffset += Math.floor(first / 4);
    }
    const position = decodeRawPosition(raw);
    if (position !== null) yield { codeOffset, ...position, isStatement };
  }
}

/**
 * The position that holds at an offset: that of the last entry at or before it
 * (`AbstractCode::SourcePosition`).
 */
export function positionAt(
  table: Uint8Array,
  format: PositionFormat,
  codeOffset: number,
): SourcePosition | null {
  let found: SourcePosition | null = null;
  for (const position of sourcePositions(table, format)) {
    if (position.codeOffset > codeOffset) break;
    found = position;
  }
  return found;
}
