/**
 * Deoptimisation translations: how V8 would rebuild interpreter frames from one optimised frame.
 * They are the only full account of what an optimised frame stands for: the inlined functions,
 * their
 * bytecode offsets, and where each argument and local variable lies.
 *
 * A translation is a list of operations (src/deoptimizer/translation-opcode.h): a BEGIN, then for
 * each
 * frame, outermost first, a frame operation followed by its values. Values form a pre-order tree:
 *
 * ```
 *   BEGIN_WITHOUT_FEEDBACK lookback=0 frames=2 jsFrames=2
 *   INTERPRETED_FRAME offset=32 function=literal 1 height=3
 *     LITERAL 1            closure
 *     TAGGED_STACK_SLOT 5  receiver
 *     STRING_CONCAT        first parameter: a concatenation that was never made ...
 *       LITERAL 4            ... of this
 *       REGISTER 3           ... and this
 *     CAPTURED_OBJECT 2    an object that was never made: its map and one field
 *       LITERAL 7
 *       INT32_STACK_SLOT 6
 *     ...                  parameters, context, registers of the interpreter, accumulator
 *   INTERPRETED_FRAME ...
 * ```
 *
 * MATCH_PREVIOUS_TRANSLATION n stands for n operations at the same place of an earlier translation
 * (`DeoptTranslationIterator`, src/objects/deoptimization-data.cc).
 */
import { ByteCursor } from "./byte-cursor.ts";

/**
 * Operations and their operands: `s` a signed integer, `u` an unsigned one. A `?` marks what only
 * the
 * versions since 13 have. The order is the order of the opcodes.
 */
const OPERATIONS = [
  ["INTERPRETED_FRAME_WITH_RETURN", "ss?suss"],
  ["INTERPRETED_FRAME_WITHOUT_RETURN", "ss?su"],
  ["JAVASCRIPT_BUILTIN_CONTINUATION_FRAME", "ssu"],
  ["JAVASCRIPT_BUILTIN_CONTINUATION_WITH_CATCH_FRAME", "ssu"],
  ["CONSTRUCT_CREATE_STUB_FRAME", "su"],
  ["CONSTRUCT_INVOKE_STUB_FRAME", "s"],
  ["BUILTIN_CONTINUATION_FRAME", "ssu"],
  ["JS_TO_WASM_BUILTIN_CONTINUATION_FRAME", "ssus"],
  ["WASM_INLINED_INTO_JS_FRAME", "ssu"],
  ["LIFTOFF_FRAME?", "sus"],
  ["INLINED_EXTRA_ARGUMENTS", "su?u"],
  ["ARGUMENTS_ELEMENTS", "s"],
  ["ARGUMENTS_LENGTH", ""],
  ["REST_LENGTH?", ""],
  ["BEGIN_WITHOUT_FEEDBACK", "uss"],
  ["BEGIN_WITH_FEEDBACK", "uss"],
  ["BOOL_REGISTER", "u"],
  ["BOOL_STACK_SLOT", "s"],
  ["CAPTURED_OBJECT", "s"],
  ["STRING_CONCAT?", ""],
  ["DOUBLE_REGISTER", "u"],
  ["DOUBLE_STACK_SLOT", "s"],
  ["SIMD128_STACK_SLOT?", "s"],
  ["HOLEY_DOUBLE_REGISTER", "u"],
  ["HOLEY_DOUBLE_STACK_SLOT", "s"],
  ["SIMD128_REGISTER?", "u"],
  ["DUPLICATED_OBJECT", "s"],
  ["FLOAT_REGISTER", "u"],
  ["FLOAT_STACK_SLOT", "s"],
  ["INT32_REGISTER", "u"],
  ["INT32_STACK_SLOT", "s"],
  ["INT64_REGISTER", "u"],
  ["INT64_STACK_SLOT", "s"],
  ["SIGNED_BIGINT64_REGISTER", "u"],
  ["SIGNED_BIGINT64_STACK_SLOT", "s"],
  ["UNSIGNED_BIGINT64_REGISTER", "u"],
  ["UNSIGNED_BIGINT64_STACK_SLOT", "s"],
  ["OPTIMIZED_OUT", ""],
  ["LITERAL", "s"],
  ["REGISTER", "u"],
  ["TAGGED_STACK_SLOT", "s"],
  ["UINT32_REGISTER", "u"],
  ["UINT32_STACK_SLOT", "s"],
  ["UPDATE_FEEDBACK", "ss"],
  ["MATCH_PREVIOUS_TRANSLATION", "u"],
] as const satisfies readonly (readonly [string, string])[];

interface Operation {
  readonly name: string;
  readonly operands: string;
}

export type OperationTable = readonly Operation[];

/** The operations of V8 12.4 ("old") or since 13 ("new"). */
function operationTable(isNew: boolean): OperationTable {
  const table: Operation[] = [];
  for (const [name, operands] of OPERATIONS) {
    if (name.endsWith("?") && !isNew) continue;
    table.push({
      name: name.replace("?", ""),
      operands: isNew ? operands.replace("?", "") : operands.replace(/\?./u, ""),
    });
  }
  return table;
}

/**
 * Chooses the table by what the binary says of itself.
 *
 * @param counts `TranslationOpcodeOperandCount::counts` of the binary
 * @returns null for a version whose operations are not known: then nothing of a translation is read
 */
export function operationTableFor(counts: readonly number[]): OperationTable | null {
  for (const isNew of [false, true]) {
    const table = operationTable(isNew);
    const isSame = table.every(({ operands }, index) => operands.length === counts[index]);
    if (isSame && table.length === counts.length) return table;
  }
  return null;
}

/** Where a value lies, or what it is. */
export type TranslatedValue =
  | { readonly kind: "literal"; readonly index: number }
  | { readonly kind: "register"; readonly as: ValueType; readonly code: number }
  | { readonly kind: "slot"; readonly as: ValueType; readonly slot: number }
  | { readonly kind: "object"; readonly id: number; readonly fields: readonly TranslatedValue[] }
  | { readonly kind: "concat"; readonly id: number; readonly parts: readonly TranslatedValue[] }
  | { readonly kind: "same"; readonly id: number }
  | { readonly kind: "arguments"; readonly id: number }
  | { readonly kind: "unknown" };

/** How the bits at that place are to be taken. */
export type ValueType =
  | "tagged"
  | "bool"
  | "int32"
  | "uint32"
  | "int64"
  | "bigint64"
  | "biguint64"
  | "float"
  | "double"
  | "holey double"
  | "simd";

export interface TranslatedFrame {
  readonly kind: "interpreted" | "javascript builtin" | "other";
  readonly operation: string;
  /** Of an interpreted frame: -1 is the entry. Of others: the builtin's id. */
  readonly bytecodeOffset: number;
  /** Index in the literals of the frame's SharedFunctionInfo; -1 when the operation has none. */
  readonly functionLiteral: number;
  /** Registers of the interpreter. */
  readonly height: number;
  /**
   * Closure, receiver, parameters, context, registers, accumulator, as far as the frame has them.
   */
  readonly values: readonly TranslatedValue[];
}

/** A real translation has some thousand operations at most. */
const OPERATIONS_MAX = 100_000;
const DEPTH_MAX = 100;
const FIELDS_MAX = 10_000;

interface DecodedOperation {
  readonly name: string;
  readonly operands: readonly number[];
}

/** Reads operations one by one and resolves references to earlier translations. */
class OperationReader {
  readonly #table: OperationTable;
  readonly #current: ByteCursor;
  readonly #previous: ByteCursor;
  #remaining = 0;
  #sincePrevious = 0;

  constructor(table: OperationTable, bytes: Uint8Array, index: number) {
    this.#table = table;
    this.#current = new ByteCursor(bytes, index);
    this.#previous = new ByteCursor(bytes, 0);
  }

  next(): DecodedOperation | null {
    if (this.#remaining > 0) this.#remaining -= 1;
    if (this.#remaining > 0) return this.#read(this.#previous, this.#previous.byte());
    if (this.#current.isAtEnd) return null;
    const start = this.#current.index;
    const code = this.#current.byte();
    const matchCode = this.#table.length - 1;
    if (code >= matchCode) {
      // The most common operation has its operand in the opcode when it is small.
      this.#remaining = code === matchCode ? this.#current.unsigned() : code - this.#table.length;
      for (let count = 0; count < this.#sincePrevious; count++) {
        if (this.#read(this.#previous, this.#previous.byte()) === null) return null;
      }
      this.#sincePrevious = 0;
      return this.#read(this.#previous, this.#previous.byte());
    }
    const operation = this.#read(this.#current, code);
    if (operation === null) return null;
    this.#sincePrevious += 1;
    if (operation.name.startsWith("BEGIN_")) {
      const lookback = operation.operands[0] ?? 0;
      if (lookback > 0) this.#previous.index = Math.max(0, start - lookback);
      this.#sincePrevious = 1;
    }
    return operation;
  }

  #read(cursor: ByteCursor, code: number): DecodedOperation | null {
    const operation = this.#table[code];
    if (operation === undefined) return null;
    const operands: number[] = [];
    for (const sign of operation.operands) {
      operands.push(sign === "s" ? cursor.signed() : cursor.unsigned());
    }
    return cursor.isBroken ? null : { name: operation.name, operands };
  }
}

const VALUE_TYPES: ReadonlyMap<string, ValueType> = new Map([
  ["BOOL", "bool"],
  ["DOUBLE", "double"],
  ["SIMD128", "simd"],
  ["HOLEY_DOUBLE", "holey double"],
  ["FLOAT", "float"],
  ["INT32", "int32"],
  ["INT64", "int64"],
  ["SIGNED_BIGINT64", "bigint64"],
  ["UNSIGNED_BIGINT64", "biguint64"],
  ["UINT32", "uint32"],
  ["TAGGED", "tagged"],
]);

/** Builds the tree of frames and values. */
class TreeReader {
  readonly #operations: OperationReader;
  /** Objects are numbered in the order in which they are met, over all frames. */
  #objects = 0;
  #count = 0;
  isBroken = false;

  constructor(operations: OperationReader) {
    this.#operations = operations;
  }

  next(): DecodedOperation | null {
    this.#count += 1;
    if (this.#count > OPERATIONS_MAX) {
      this.isBroken = true;
      return null;
    }
    const operation = this.#operations.next();
    if (operation?.name === "UPDATE_FEEDBACK") return this.next();
    return operation;
  }

  value({ name, operands }: DecodedOperation, depth: number): TranslatedValue {
    const [first = 0] = operands;
    switch (name) {
      case "LITERAL":
        return { kind: "literal", index: first };
      case "REGISTER":
        return { kind: "register", as: "tagged", code: first };
      case "DUPLICATED_OBJECT":
        return { kind: "same", id: first };
      case "ARGUMENTS_ELEMENTS":
        this.#objects += 1;
        return { kind: "arguments", id: this.#objects - 1 };
      case "CAPTURED_OBJECT": {
        this.#objects += 1;
        const id = this.#objects - 1;
        return { kind: "object", id, fields: this.#children(first, depth) };
      }
      case "STRING_CONCAT": {
        this.#objects += 1;
        const id = this.#objects - 1;
        return { kind: "concat", id, parts: this.#children(2, depth) };
      }
    }
    return placedValue(name, first);
  }

  #children(count: number, depth: number): readonly TranslatedValue[] {
    const children: TranslatedValue[] = [];
    if (count < 0 || count > FIELDS_MAX || depth >= DEPTH_MAX) {
      this.isBroken = true;
      return children;
    }
    for (let index = 0; index < count && !this.isBroken; index++) {
      const operation = this.next();
      if (operation === null) {
        this.isBroken = true;
        return children;
      }
      children.push(this.value(operation, depth + 1));
    }
    return children;
  }
}

function placedValue(name: string, operand: number): TranslatedValue {
  const isRegister = name.endsWith("_REGISTER");
  const as = VALUE_TYPES.get(name.replace(/_(?:REGISTER|STACK_SLOT)$/u, ""));
  if (as === undefined) return { kind: "unknown" };
  return isRegister ? { kind: "register", as, code: operand } : { kind: "slot", as, slot: operand };
}

function startFrame({ name, operands }: DecodedOperation): Omit<TranslatedFrame, "values"> {
  const [first = 0, second = 0] = operands;
  if (name.startsWith("INTERPRETED_FRAME")) {
    // The bytecode array stands between function and height since V8 13: then the count is even.
    const height = operands[operands.length % 2 === 0 ? 3 : 2] ?? 0;
    const base = { operation: name, bytecodeOffset: first, functionLiteral: second, height };
    return { kind: "interpreted", ...base };
  }
  const hasBuiltin = operands.length >= 3 && name.includes("CONTINUATION");
  return {
    kind: name.startsWith("JAVASCRIPT_BUILTIN") ? "javascript builtin" : "other",
    operation: name,
    bytecodeOffset: hasBuiltin ? first : -1,
    functionLiteral: hasBuiltin ? second : first,
    height: 0,
  };
}

/**
 * The frames that one optimised frame stands for, outermost first.
 *
 * @param bytes the translations of a code object
 * @param index where this one begins
 * @returns null when they cannot be read as that
 */
export function readTranslation(
  table: OperationTable,
  bytes: Uint8Array,
  index: number,
): readonly TranslatedFrame[] | null {
  const tree = new TreeReader(new OperationReader(table, bytes, index));
  const begin = tree.next();
  if (begin === null || !begin.name.startsWith("BEGIN_")) return null;
  const frameCount = begin.operands[1] ?? 0;
  const frames: (Omit<TranslatedFrame, "values"> & { values: TranslatedValue[] })[] = [];
  for (let operation = tree.next(); operation !== null; operation = tree.next()) {
    if (operation.name.startsWith("BEGIN_")) break;
    if (operation.name.includes("FRAME") || operation.name === "INLINED_EXTRA_ARGUMENTS") {
      frames.push({ ...startFrame(operation), values: [] });
      continue;
    }
    const frame = frames.at(-1);
    if (frame === undefined) return null;
    frame.values.push(tree.value(operation, 0));
    if (tree.isBroken) return null;
  }
  return tree.isBroken || frames.length !== frameCount || frameCount === 0 ? null : frames;
}
