/**
 * The code object that a pc belongs to. V8 keeps an index of them in C++, which is not read: an
 * InstructionStream begins with its map, and instructions are aligned, so the header is found by
 * going back from the pc.
 *
 * ```
 *   InstructionStream                        Code (elsewhere)
 *     map  code --------------------------->   instruction start, size, flags
 *     relocation info                          deoptimisation data, position or offset table
 *     instructions  <-- aligned to 64, pc
 *     metadata: safepoint table, handler table
 * ```
 */
import type { HeapView } from "../v8/heap-view.ts";
import { CLEARED, isSmi, smiValue } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import type { Mapping, Target } from "../target/target.ts";

/** Half of the alignment of instructions: all that may stand before a header. */
const STEP_BYTES = 32;
/** The largest optimised function that V8 makes is some 100 kB. */
const SCAN_BYTES_MAX = 2 * 1024 * 1024;

/** Between REGEXP and INTERPRETED_FUNCTION: code of WebAssembly (code-kind.h, 12.4 to 14.6). */
const KINDS_OF_WASM = 5;

export type CodeKind = "baseline" | "maglev" | "turbofan" | "regexp" | "other";

export interface CodeObject {
  readonly address: Tagged;
  readonly kind: CodeKind;
  /** First instruction. */
  readonly start: number;
  readonly bytes: number;
  /** Deoptimisation data; of baseline code the bytecode. */
  readonly deoptimizationData: Tagged;
  /** Source positions; of baseline code the offsets of its bytecodes. */
  readonly positionTable: Tagged;
  /** Safepoint table and what follows. */
  readonly metadataBytes: number;
  /** Where the handler table begins in the metadata: where the safepoints end. */
  readonly handlerTableOffset: number;
}

/** Finds code objects; keeps what it found. */
export class CodeFinder {
  readonly #heap: HeapView;
  readonly #ranges: readonly Mapping[];
  readonly #known: CodeObject[] = [];

  constructor(target: Target, heap: HeapView) {
    this.#heap = heap;
    this.#ranges = target.mappings.filter(
      ({ isExecutable, path }) => isExecutable && path === null,
    );
  }

  /** True where code is mapped that comes from no file: V8 made it, or another compiler. */
  isCompiled(pc: number): boolean {
    return this.#ranges.some(({ start, end }) => pc >= start && pc < end);
  }

  /** Null: none that is whole and sound. */
  at(pc: number): CodeObject | null {
    const known = this.#known.find(({ start, bytes }) => pc >= start && pc <= start + bytes);
    if (known !== undefined) return known;
    const range = this.#ranges.find(({ start, end }) => pc >= start && pc < end);
    if (range === undefined) return null;
    const header = this.#heap.layout.field("InstructionStream", "instruction_start");
    const lowest = Math.max(range.start + header, pc - SCAN_BYTES_MAX);
    const first = Math.floor(pc / STEP_BYTES) * STEP_BYTES;
    for (let start = first; start >= lowest; start -= STEP_BYTES) {
      const code = this.#headerAt(start - header, start);
      if (code === null) continue;
      if (pc > code.start + code.bytes) return null;
      this.#known.push(code);
      return code;
    }
    return null;
  }

  #headerAt(stream: number, start: number): CodeObject | null {
    const heap = this.#heap;
    const map = heap.taggedAt(stream);
    if (map <= 0 || !heap.isOfType(stream, "INSTRUCTION_STREAM_TYPE")) return null;
    const { layout } = heap;
    for (let offset = 8; offset < start - stream; offset += 8) {
      const code = heap.tagged(stream, offset);
      if (!heap.isOfType(code, "CODE_TYPE")) continue;
      if (heap.word(code, layout.field("Code", "instruction_start")) !== start) continue;
      return this.#codeAt(code, start);
    }
    return null;
  }

  #codeAt(address: Tagged, start: number): CodeObject {
    const heap = this.#heap;
    const { layout } = heap;
    const flags = heap.unsigned(address, layout.field("Code", "flags"), 4);
    const size = layout.field("Code", "instruction_size");
    const kind = flags & layout.get("CodeKindFieldMask");
    const baseline = layout.get("CodeKindBaseline");
    const regexp = layout.get("CodeKindInterpretedFunction") - KINDS_OF_WASM - 1;
    const kinds: readonly CodeKind[] = ["baseline", "maglev", "turbofan"];
    const metadataBytes = heap.unsigned(address, size + layout.stated.codeMetadataSize, 4);
    return {
      address,
      kind: kinds[kind - baseline] ?? (kind === regexp ? "regexp" : "other"),
      start,
      bytes: heap.unsigned(address, size, 4),
      deoptimizationData: heap.tagged(address, layout.stated.codeDeoptimizationData),
      positionTable: heap.tagged(address, layout.stated.codePositionTable),
      metadataBytes,
      handlerTableOffset: heap.unsigned(address, size + layout.stated.codeHandlerTable, 4),
    };
  }
}

/** The rows and arrays of a DeoptimizationData, read on demand. */
export class DeoptimizationData {
  readonly #heap: HeapView;
  readonly #array: Tagged;

  constructor(heap: HeapView, array: Tagged) {
    this.#heap = heap;
    this.#array = array;
  }

  /** Deoptimisation points; 0 when there is no such data. */
  get count(): number {
    const length = this.#heap.arrayLength(this.#array);
    return Math.max(0, Math.floor((length - this.#heap.layout.stated.deoptFirstEntry) / 3));
  }

  get translations(): Buffer {
    return this.#heap.byteArray(this.#heap.arrayItem(this.#array, 0));
  }

  /** Where the translation of a point begins; -1 when there is none. */
  translationIndex(point: number): number {
    const { stated } = this.#heap.layout;
    const index = this.#heap.arrayItem(this.#array, stated.deoptFirstEntry + 3 * point + 1);
    return point < 0 || point >= this.count ? -1 : smiOr(index, -1);
  }

  literal(index: number): Tagged {
    const { layout } = this.#heap;
    const literals = this.#heap.arrayItem(
      this.#array,
      layout.get("DeoptimizationDataLiteralArrayIndex"),
    );
    if (index < 0 || index >= this.#heap.arrayLength(literals)) return CLEARED;
    return this.#heap.arrayItem(literals, index);
  }

  /** The function that the code was made for. */
  get shared(): Tagged {
    const { layout } = this.#heap;
    const direct = layout.find("DeoptimizationDataSharedFunctionInfoIndex");
    if (direct !== null) return this.#heap.arrayItem(this.#array, direct);
    const wrapper = this.#heap.arrayItem(
      this.#array,
      layout.get("DeoptimizationDataWrappedSharedFunctionInfoIndex"),
    );
    return this.#heap.tagged(wrapper, layout.field("SharedFunctionInfoWrapper", "shared_info"));
  }

  /** Rows of 16 bytes: the raw position of the call, and the function that was inlined. */
  inlining(id: number): { readonly rawPosition: number; readonly functionLiteral: number } | null {
    const { layout } = this.#heap;
    const positions = this.#heap.byteArray(
      this.#heap.arrayItem(this.#array, layout.get("DeoptimizationDataInliningPositionsIndex")),
    );
    const at = id * INLINING_POSITION_BYTES;
    if (id < 0 || at + INLINING_POSITION_BYTES > positions.length) return null;
    const rawPosition = Number(positions.readBigUInt64LE(at));
    return { rawPosition, functionLiteral: positions.readInt32LE(at + 8) };
  }

  /** Offset in the code where the exits of eager deoptimisations begin, and how many there are. */
  get exits(): { readonly start: number; readonly eagerCount: number } {
    const { stated } = this.#heap.layout;
    const item = (index: number): number =>
      smiOr(this.#heap.arrayItem(this.#array, stated.deoptExitStart + index), 0);
    return { start: item(0), eagerCount: item(1) };
  }
}

const INLINING_POSITION_BYTES = 16;

function smiOr(value: Tagged, otherwise: number): number {
  return isSmi(value) ? smiValue(value) : otherwise;
}
