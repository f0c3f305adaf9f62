/**
 * Which function of a WebAssembly module a frame is in, and at which byte of the module: what V8
 * itself shows as `inner (wasm://wasm/48e9847a:wasm-function[2]:0x44)`.
 *
 * ```
 *   frame, fp-16 --> instance data --> instance --> module --> script: its url
 *                                                     script --> managed --> NativeModule
 *   NativeModule   a map and lists of WasmCode, by where instructions begin; the module's own bytes
 *   WasmCode       NativeModule | instructions | ... | sizes | index of the function
 *                  its positions: offset of the code -> byte of the function's body
 * ```
 * NativeModule is C++ whose members lie elsewhere in each version: they are looked for, and count
 * only when they prove themselves: a WasmCode begins with the address of its NativeModule, the
 * place
 * in the map is where its instructions begin, and the module's bytes begin with `\0asm`.
 * Sources: V8's src/wasm/wasm-code-manager.h, wasm-objects.h (12.4, 13.6, 14.6).
 */
import { NotInMemory } from "../target/memory.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { CLEARED } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import { decodeRawPosition, positionAt } from "./source-positions.ts";
import type { PositionFormat, SourcePosition } from "./source-positions.ts";
import { WasmBytes } from "./wasm-bytes.ts";

/** Of instance data, and of instances and module objects. */
const FIELDS_BYTES_MAX = 512;
const DESTRUCTOR_BYTES = 64;
/** A NativeModule has some 2.8 kB. */
const NATIVE_MODULE_BYTES = 4096;
const MODULE_BYTES_MAX = 32 * 1024 * 1024;
const CODES_MAX = 1_000_000;
/** Of a balanced tree of as many. */
const TREE_DEPTH_MAX = 64;
/** Machine code of one function, and its tables. */
const CODE_BYTES_MAX = 64 * 1024 * 1024;
const TABLE_BYTES_MAX = 16 * 1024 * 1024;
const INLINED_DEPTH_MAX = 32;
/** A node of libstdc++'s `std::map`: colour, parent, left, right, key, value. */
const NODE = { parent: 8, left: 16, right: 24, key: 32, value: 40 };
/** `{ int function; bool was_tail_call; SourcePosition caller }`, without gaps. */
const INLINING = { bytes: 13, caller: 5 };

/** Where the members of a WasmCode lie, by its pointer to what follows the instructions. */
interface CodeLayout {
  readonly metadata: number;
  readonly instructionBytes: number;
  readonly relocationBytes: number;
  readonly positionBytes: number;
  readonly inliningBytes: number;
  readonly protectedBytes: number;
  readonly index: number;
}

const SIZES = { relocationBytes: 4, positionBytes: 8, inliningBytes: 12 };

function layoutAt(metadata: number, protectedAt: number): CodeLayout {
  const [first, protectedBytes] = [metadata + 8, metadata + 8 + protectedAt];
  const { relocationBytes, positionBytes, inliningBytes } = SIZES;
  return {
    metadata,
    instructionBytes: first,
    relocationBytes: first + relocationBytes,
    positionBytes: first + positionBytes,
    inliningBytes: first + inliningBytes,
    protectedBytes,
    index: protectedBytes + 4,
  };
}

/** V8 12.4; since 13.x with the hash of a signature before, and data of deoptimisations. */
const LAYOUTS: readonly CodeLayout[] = [layoutAt(16, 16), layoutAt(24, 20)];

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

interface NativeModule {
  readonly address: number;
  readonly bytes: WasmBytes | null;
}

interface Code {
  readonly start: number;
  readonly index: number;
  readonly positions: Buffer;
  readonly inlinings: Buffer;
}

export class WasmCodeReader {
  readonly #heap: HeapView;
  readonly #format: PositionFormat;
  readonly #modules = new Map<Tagged, NativeModule | null>();

  constructor(heap: HeapView, format: PositionFormat) {
    this.#heap = heap;
    this.#format = format;
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
    const instance = this.#field(heap.tagged(fp, -16), "WASM_INSTANCE_OBJECT_TYPE");
    const script = this.#field(this.#field(instance, "WASM_MODULE_OBJECT_TYPE"), "SCRIPT_TYPE");
    if (script === CLEARED) return [];
    const native = this.#nativeModule(script);
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
    { index, inlinings }: Code,
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

  /** The first field of an object that is of a type. */
  #field(object: Tagged, type: string): Tagged {
    if (object === CLEARED) return CLEARED;
    for (let offset = 8; offset < FIELDS_BYTES_MAX; offset += 8) {
      const value = this.#heap.tagged(object, offset);
      if (this.#heap.isOfType(value, type)) return value;
    }
    return CLEARED;
  }

  #nativeModule(script: Tagged): NativeModule | null {
    const known = this.#modules.get(script);
    if (known !== undefined) return known;
    const { layout } = this.#heap;
    const managed = this.#heap.tagged(script, layout.field("Script", "wasm_managed_native_module"));
    // Managed -> what deletes it -> std::shared_ptr -> NativeModule
    const destructor = this.#heap.word(managed, 8);
    let found: NativeModule | null = null;
    for (let offset = 0; offset < DESTRUCTOR_BYTES && found === null; offset += 8) {
      const address = this.#word(this.#word(destructor + offset));
      if (address !== 0 && [...this.#lists(address)].length > 0)
        found = { address, bytes: this.#bytesOf(address) };
    }
    this.#modules.set(script, found);
    return found;
  }

  /** Where a NativeModule has its code: a map, and lists of what is not in the map yet. */
  *#lists(native: number): Generator<(pc: number) => number> {
    for (let offset = 0; offset < NATIVE_MODULE_BYTES; offset += 8) {
      const [first, end] = [this.#word(native + offset), this.#word(native + offset + 8)];
      if (first === 0) continue;
      if (this.#isCode(this.#word(first + NODE.value), native, this.#word(first + NODE.key)))
        yield (pc) => this.#inMap(native, first, pc);
      const count = (end - first) / 8;
      const isList = Number.isInteger(count) && count > 0 && count < CODES_MAX;
      if (isList && this.#isCode(this.#word(first), native, null))
        yield (pc) => this.#inList(native, first, end, pc);
    }
  }

  #isCode(code: number, native: number, start: number | null): boolean {
    if (code === 0 || this.#word(code) !== native) return false;
    const own = this.#word(code + 8);
    return own !== 0 && (start === null || own === start);
  }

  /** From any node up to the root, and down to the last code that begins at or before the pc. */
  #inMap(native: number, node: number, pc: number): number {
    let root = node;
    for (let count = 0; count < TREE_DEPTH_MAX; count += 1) {
      const parent = this.#word(root + NODE.parent);
      const isNode = this.#isCode(
        this.#word(parent + NODE.value),
        native,
        this.#word(parent + NODE.key),
      );
      if (!isNode) break;
      root = parent;
    }
    let [best, at] = [0, root];
    for (let count = 0; count < TREE_DEPTH_MAX && at !== 0; count += 1) {
      const [key, value] = [this.#word(at + NODE.key), this.#word(at + NODE.value)];
      if (!this.#isCode(value, native, key)) break;
      if (key <= pc) best = value;
      at = this.#word(at + (key <= pc ? NODE.right : NODE.left));
    }
    return best;
  }

  #inList(native: number, first: number, end: number, pc: number): number {
    let best = 0;
    for (let at = first; at < end; at += 8) {
      const code = this.#word(at);
      if (!this.#isCode(code, native, null)) return best;
      const start = this.#word(code + 8);
      if (start <= pc && start > this.#word(best + 8)) best = code;
    }
    return best;
  }

  #codeAt({ address, bytes }: NativeModule, pc: number): Code | null {
    for (const search of this.#lists(address)) {
      const code = search(pc);
      if (code === 0) continue;
      for (const layout of LAYOUTS) {
        const found = this.#readCode(code, layout, pc);
        const isKnown = bytes === null || (found !== null && bytes.bodyOf(found.index) !== null);
        if (found !== null && isKnown) return found;
      }
    }
    return null;
  }

  #readCode(code: number, at: CodeLayout, pc: number): Code | null {
    const size = (offset: number): number => this.#heap.memory.i32(code + offset);
    const start = this.#word(code + 8);
    const instructions = size(at.instructionBytes);
    if (pc > start + instructions || instructions > CODE_BYTES_MAX) return null;
    const [guarded, relocations] = [size(at.protectedBytes), size(at.relocationBytes)];
    const [positions, inlinings] = [size(at.positionBytes), size(at.inliningBytes)];
    const sizes = [guarded, relocations, positions, inlinings];
    if (sizes.some((bytes) => bytes < 0 || bytes > TABLE_BYTES_MAX)) return null;
    const tables = this.#word(code + at.metadata) + guarded + relocations;
    const read = this.#heap.memory.read(tables, positions + inlinings);
    if (read === null || tables < 4096) return null;
    return {
      start,
      index: size(at.index),
      positions: read.subarray(0, positions),
      inlinings: read.subarray(positions),
    };
  }

  /** The module as it was compiled: an address and a length, behind a pointer. */
  #bytesOf(native: number): WasmBytes | null {
    for (let offset = 0; offset < NATIVE_MODULE_BYTES; offset += 8) {
      const vector = this.#word(native + offset);
      const [start, length] = [this.#word(vector), this.#word(vector + 8)];
      if (start === 0 || length < 8 || length > MODULE_BYTES_MAX) continue;
      const head = this.#heap.memory.read(start, 8);
      if (head === null || !WasmBytes.isHead(head)) continue;
      const bytes = this.#heap.memory.read(start, length);
      if (bytes !== null) return new WasmBytes(bytes);
    }
    return null;
  }

  /** 0 when it is not there, or no address. */
  #word(address: number): number {
    return address > 0 && address % 8 === 0 ? this.#heap.word(address, 0) : 0;
  }
}

function offsetOf(body: number | null, scriptOffset: number | null): number | null {
  return body === null || scriptOffset === null ? null : body + scriptOffset;
}
