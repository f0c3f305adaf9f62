/**
 * Which function of a WebAssembly module a frame is in, and at which byte of the module: what V8
 * itself shows as `inner (wasm://wasm/48e9847a:wasm-function[2]:0x44)`.
 *
 * ```
 *   frame, fp-16 --> instance data --> instance --> module --> script: its url
 *                                                     script --> NativeModule (wasm-modules.ts)
 *   WasmCode       NativeModule | instructions | ... | where its tables are | ... sizes ... | index
 *                  tables: protected instructions | relocation | positions | inlining | ...
 *                  positions: offset of the code -> byte of the function's body
 * ```
 * Where the members of a WasmCode lie is in the table of the version.
 * Sources: V8's src/wasm/wasm-code-manager.h, wasm-objects.h (12.4, 13.6, 14.6).
 */
import { NotInMemory } from "../target/memory.ts";
import type { HeapView } from "../v8/heap-view.ts";
import type { Stated } from "../v8/layout-table.ts";
import { CLEARED } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import { decodeRawPosition, positionAt } from "./source-positions.ts";
import type { PositionFormat, SourcePosition } from "./source-positions.ts";
import { CODE_START, NativeModules } from "./wasm-modules.ts";
import type { NativeModule } from "./wasm-modules.ts";

/** Of instance data, and of instances and module objects. */
const FIELDS_BYTES_MAX = 512;
/** Machine code of one function, and its tables. */
const CODE_BYTES_MAX = 64 * 1024 * 1024;
const TABLE_BYTES_MAX = 16 * 1024 * 1024;
const INLINED_DEPTH_MAX = 32;
/** `{ int function; bool was_tail_call; SourcePosition caller }`, without gaps. */
const INLINING = { bytes: 13, caller: 5 };
/** Sizes of a WasmCode, from that of its instructions on: one behind the other in every version. */
const SIZES = { instructions: 0, relocation: 4, positions: 8, inlining: 12 };

/** Where the members of a WasmCode are. */
export type WasmCodePlaces = Pick<
  Stated,
  "wasmCodeTables" | "wasmCodeSizes" | "wasmCodeProtected" | "wasmCodeIndex"
>;

/** A function that is at work; `offset` null: not known. */
export interface WasmFunction {
  /** `wasm://wasm/48e9847a` */
  readonly url: string;
  readonly index: number;
  /** Of the module's own list of names; or empty. */
  readonly name: string;
  /** From the module's first byte on. */
  readonly offset: number | null;
  readonly isInlined: boolean;
}

export interface WasmCode {
  readonly start: number;
  readonly bytes: number;
  /** Of its function in the module; imported ones come first. */
  readonly index: number;
  readonly positions: Buffer;
  readonly inlinings: Buffer;
}

/** Reads a WasmCode; null when this is none: sizes that cannot be, tables that are not there. */
export function readWasmCode(
  heap: HeapView,
  code: number,
  places: WasmCodePlaces,
): WasmCode | null {
  const { wasmCodeTables, wasmCodeSizes, wasmCodeProtected, wasmCodeIndex } = places;
  const size = (offset: number): number => heap.unsigned(code, offset, 4);
  const start = heap.word(code, CODE_START);
  const bytes = size(wasmCodeSizes + SIZES.instructions);
  const guarded = size(wasmCodeProtected);
  const relocation = size(wasmCodeSizes + SIZES.relocation);
  const positions = size(wasmCodeSizes + SIZES.positions);
  const inlinings = size(wasmCodeSizes + SIZES.inlining);
  const sizes = [guarded, relocation, positions, inlinings];
  if (bytes > CODE_BYTES_MAX || sizes.some((one) => one > TABLE_BYTES_MAX)) return null;
  const tables = heap.word(code, wasmCodeTables) + guarded + relocation;
  const read = tables < 4096 ? null : heap.memory.read(tables, positions + inlinings);
  if (read === null) return null;
  return {
    start,
    bytes,
    index: size(wasmCodeIndex),
    positions: read.subarray(0, positions),
    inlinings: read.subarray(positions),
  };
}

/** The script of a module object; CLEARED when it is none. */
export function scriptOfModule(heap: HeapView, object: Tagged): Tagged {
  return fieldOf(heap, object, "SCRIPT_TYPE");
}

/** The first field of an object that is of a type. */
function fieldOf(heap: HeapView, object: Tagged, type: string): Tagged {
  if (object === CLEARED) return CLEARED;
  for (let offset = 8; offset < FIELDS_BYTES_MAX; offset += 8) {
    const value = heap.tagged(object, offset);
    if (heap.isOfType(value, type)) return value;
  }
  return CLEARED;
}

export class WasmCodeReader {
  readonly #heap: HeapView;
  readonly #format: PositionFormat;
  readonly #modules: NativeModules;

  constructor(heap: HeapView, format: PositionFormat) {
    this.#heap = heap;
    this.#format = format;
    this.#modules = new NativeModules(heap);
  }

  /** The functions of a frame, the innermost first; none when it cannot be told for sure. */
  functionsAt(fp: number, pc: number, isTop: boolean): readonly WasmFunction[] {
    try {
      return this.#functionsAt(fp, pc, isTop);
    } catch (error) {
      if (error instanceof NotInMemory) return [];
      throw error;
    }
  }

  #functionsAt(fp: number, pc: number, isTop: boolean): readonly WasmFunction[] {
    const heap = this.#heap;
    const instance = fieldOf(heap, heap.tagged(fp, -16), "WASM_INSTANCE_OBJECT_TYPE");
    const script = scriptOfModule(heap, fieldOf(heap, instance, "WASM_MODULE_OBJECT_TYPE"));
    if (script === CLEARED) return [];
    const native = this.#modules.of(script);
    const code = native === null ? null : this.#codeAt(native, pc);
    if (native === null || code === null) return [];
    const { layout } = heap;
    const url = heap.string(heap.tagged(script, layout.field("Script", "name")), 1_000) ?? "";
    // a return address is behind the call that the position is of
    const at = pc - code.start - (isTop ? 0 : 1);
    const position = positionAt(code.positions, this.#format, at);
    return this.#inlined(code, position).map(({ index, scriptOffset }, depth, all) => ({
      url,
      index,
      name: native.bytes?.nameOf(index) ?? "",
      offset: offsetOf(native.bytes?.bodyOf(index) ?? null, scriptOffset),
      isInlined: depth < all.length - 1,
    }));
  }

  /** The function itself, behind those that were inlined into it. */
  #inlined(
    { index, inlinings }: WasmCode,
    position: SourcePosition | null,
  ): readonly { readonly index: number; readonly scriptOffset: number | null }[] {
    const found: { index: number; scriptOffset: number | null }[] = [];
    let [id, scriptOffset] = [position?.inliningId ?? -1, position?.scriptOffset ?? null];
    while (id >= 0 && found.length < INLINED_DEPTH_MAX) {
      const at = id * INLINING.bytes;
      if (at + INLINING.bytes > inlinings.length) break;
      found.push({ index: inlinings.readInt32LE(at), scriptOffset });
      const caller = decodeRawPosition(Number(inlinings.readBigUInt64LE(at + INLINING.caller)));
      [id, scriptOffset] = [caller?.inliningId ?? -1, caller?.scriptOffset ?? null];
    }
    return [...found, { index, scriptOffset }];
  }

  #codeAt(native: NativeModule, pc: number): WasmCode | null {
    for (const address of this.#modules.codesBefore(native, pc)) {
      const code = readWasmCode(this.#heap, address, this.#heap.layout.stated);
      if (code === null || pc > code.start + code.bytes) continue;
      if (native.bytes === null || native.bytes.bodyOf(code.index) !== null) return code;
    }
    return null;
  }
}

function offsetOf(body: number | null, scriptOffset: number | null): number | null {
  return body === null || scriptOffset === null ? null : body + scriptOffset;
}
