/**
 * ScopeInfo: what V8 keeps of a function's scope after compilation: its name, the names of
 * variables
 * that live in a context, and where its source begins.
 *
 * ```
 *  index  12.4                             13.6, 14.6 (src/objects/scope-info.tq)
 *    0    flags                            flags
 *    1    parameter count                  parameter count
 *    2    context local count              context local count
 *    3    [module variable count]          start position
 *    4                                     end position
 *    5                                     [module variable count]
 *    ..   names of context locals (or one hash table from 75 on), their infos,
 *         [saved class variable], [function variable: name, slot], [inferred name],
 *         [12.4: start position, end position], [outer scope info] ...
 * ```
 */
import type { HeapView } from "./heap-view.ts";
import { CLEARED, isSmi, smiValue } from "./tagged.ts";
import type { Tagged } from "./tagged.ts";

/** `kScopeInfoMaxInlinedLocalNamesSize`. */
const INLINED_NAMES_MAX = 75;
/** Slots of a context before its variables: scope info and previous context. */
const HEADER_BYTES = 8;
const LOCALS_MAX = 100_000;

/** Bits of the flags, from the lowest; the same in all three versions. */
const HAS_SAVED_CLASS_VARIABLE = 1 << 10;
const FUNCTION_VARIABLE = 3 << 12;
const HAS_INFERRED_NAME = 1 << 14;
const HAS_OUTER = 1 << 22;
/** A module has itself there, a function with `eval` what that has declared. */
const HAS_EXTENSION_SLOT = 1 << 26;
/** In place of a name, as V8 writes its own ones: the slot before those of the variables. */
export const EXTENSION_SLOT = ".extension";

export interface ScopeInfo {
  /** Empty: the function has none. */
  readonly functionName: string;
  /** What V8 made up from the place where the function was assigned ("obj.method"). */
  readonly inferredName: string;
  /** Characters [start, end) of the script, from the parameter list on; null: not known. */
  readonly range: { readonly start: number; readonly end: number } | null;
  /**
   * Names of the variables in the context, in the order of its slots, behind EXTENSION_SLOT where
   * it has one; null: the table of them cannot be read.
   */
  readonly contextLocals: readonly string[] | null;
  readonly outer: Tagged;
}

/** @returns null when this is no ScopeInfo, or its counts are absurd */
export function readScopeInfo(heap: HeapView, scopeInfo: Tagged): ScopeInfo | null {
  const { layout } = heap;
  if (!heap.isOfType(scopeInfo, "SCOPE_INFO_TYPE")) return null;
  const item = (index: number): Tagged => heap.tagged(scopeInfo, HEADER_BYTES + 8 * index);
  const number = (index: number): number | null => {
    const value = item(index);
    return isSmi(value) ? smiValue(value) : null;
  };
  // The flags are a Smi in 12.4 and a 32-bit integer in the lower half since.
  const hasEarlyPositions = layout.get("scopeinfo_idx_first_vars") === 5;
  const flags = hasEarlyPositions ? heap.unsigned(scopeInfo, HEADER_BYTES, 4) : (number(0) ?? 0);
  const count = number(layout.get("scopeinfo_idx_ncontextlocals")) ?? 0;
  if (count < 0 || count > LOCALS_MAX) return null;
  let at = layout.get("scopeinfo_idx_first_vars");
  // Only a module has a number before the names.
  if (count > 0 && isSmi(item(at))) at += 1;
  let contextLocals: string[] | null = null;
  if (count < INLINED_NAMES_MAX) {
    contextLocals = Array.from(
      { length: count },
      (_, index) => heap.string(item(at + index)) ?? "?",
    );
    at += count;
  } else {
    contextLocals = namesOfTable(heap, item(at), count);
    at += 1;
  }
  at += count;
  if ((flags & HAS_SAVED_CLASS_VARIABLE) !== 0) at += 1;
  if ((flags & HAS_EXTENSION_SLOT) !== 0) contextLocals?.unshift(EXTENSION_SLOT);
  let functionName = "";
  if ((flags & FUNCTION_VARIABLE) !== 0) {
    functionName = isSmi(item(at)) ? "" : (heap.string(item(at)) ?? "");
    at += 2;
  }
  let inferredName = "";
  if ((flags & HAS_INFERRED_NAME) !== 0) {
    inferredName = heap.string(item(at)) ?? "";
    at += 1;
  }
  const positions = hasEarlyPositions ? 3 : at;
  const start = number(positions);
  const end = number(positions + 1);
  const range =
    start !== null && end !== null && start >= 0 && end >= start ? { start, end } : null;
  if (!hasEarlyPositions && range !== null) at += 2;
  const outer = (flags & HAS_OUTER) === 0 ? CLEARED : item(at);
  return { functionName, inferredName, range, contextLocals, outer };
}

/**
 * Of 75 variables and more, V8 keeps a hash table: a name, then its place among them
 * (`NameToIndexHashTable`, src/objects/hash-table.h: entries of two words).
 */
function namesOfTable(heap: HeapView, table: Tagged, count: number): string[] | null {
  const { hashHeader } = heap.layout.stated;
  const capacity = heap.arrayItem(table, hashHeader - 1);
  const length = heap.arrayLength(table);
  if (!isSmi(capacity) || length !== hashHeader + 2 * smiValue(capacity)) return null;
  const names = Array.from<string>({ length: count }).fill("?");
  for (let index = hashHeader; index + 1 < length; index += 2) {
    const place = heap.arrayItem(table, index + 1);
    if (!isSmi(place) || smiValue(place) < 0 || smiValue(place) >= count) continue;
    names[smiValue(place)] = heap.string(heap.arrayItem(table, index)) ?? "?";
  }
  return names;
}
