/**
 * The modules of WebAssembly that a process has, and the code of their functions.
 *
 * ```
 *   script --> managed --> what deletes it --> std::shared_ptr --> NativeModule
 *   NativeModule   a map and lists of WasmCode, by where instructions begin; the module's own bytes
 *   WasmCode       NativeModule | start of its instructions | ...
 * ```
 * NativeModule is C++ whose members lie elsewhere in each version: they are looked for, and count
 * only when they prove themselves: a WasmCode begins with the address of its NativeModule, the
 * place in the map is where its instructions begin, and the module's bytes begin with `\0asm`. So
 * there is no constant of it that could be wrong.
 * Source: V8's src/wasm/wasm-code-manager.h (12.4, 13.6, 14.6).
 */
import type { HeapView } from "../v8/heap-view.ts";
import type { Tagged } from "../v8/tagged.ts";
import { WasmBytes } from "./wasm-bytes.ts";

const DESTRUCTOR_BYTES = 64;
/** A NativeModule has some 2.8 kB. */
const NATIVE_MODULE_BYTES = 4096;
const MODULE_BYTES_MAX = 32 * 1024 * 1024;
const CODES_MAX = 1_000_000;
/** Of a balanced tree of as many. */
const TREE_DEPTH_MAX = 64;
/** A node of libstdc++'s `std::map`: colour, parent, left, right, key, value. */
const NODE = { parent: 8, left: 16, right: 24, key: 32, value: 40 };
/** WasmCode: behind its module, where its instructions begin. */
export const CODE_START = 8;

export interface NativeModule {
  readonly address: number;
  readonly bytes: WasmBytes | null;
}

/** Where a NativeModule has code: a node of its map, or a list of what is not in the map yet. */
type CodeList =
  | { readonly kind: "map"; readonly node: number }
  | { readonly kind: "list"; readonly first: number; readonly end: number };

export class NativeModules {
  readonly #heap: HeapView;
  readonly #known = new Map<Tagged, NativeModule | null>();

  constructor(heap: HeapView) {
    this.#heap = heap;
  }

  /** The module of a script; null when it is none of WebAssembly, or not to be found. */
  of(script: Tagged): NativeModule | null {
    const known = this.#known.get(script);
    if (known !== undefined) return known;
    const { layout } = this.#heap;
    const managed = this.#heap.tagged(script, layout.field("Script", "wasm_managed_native_module"));
    const destructor = this.#heap.word(managed, 8);
    let found: NativeModule | null = null;
    for (let offset = 0; offset < DESTRUCTOR_BYTES && found === null; offset += 8) {
      const address = this.#word(this.#word(destructor + offset));
      if (address !== 0 && [...this.#lists(address)].length > 0)
        found = { address, bytes: this.#bytesOf(address) };
    }
    this.#known.set(script, found);
    return found;
  }

  /** What a pc may belong to: of the map and of each list, the last that begins before it. */
  *codesBefore({ address }: NativeModule, pc: number): Generator<number> {
    for (const list of this.#lists(address)) {
      const code =
        list.kind === "map"
          ? this.#inMap(address, list.node, pc)
          : this.#inList(address, list.first, list.end, pc);
      if (code !== 0) yield code;
    }
  }

  /** All WasmCodes of a module, each once. */
  codesOf({ address }: NativeModule): ReadonlySet<number> {
    const found = new Set<number>();
    for (const list of this.#lists(address)) {
      if (list.kind === "list") {
        for (let at = list.first; at < list.end; at += 8) {
          const code = this.#word(at);
          if (this.#isCode(code, address, null)) found.add(code);
        }
        continue;
      }
      const pending = [this.#rootOf(address, list.node)];
      for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
        const code = this.#word(node + NODE.value);
        const isNode = this.#isCode(code, address, this.#word(node + NODE.key));
        if (!isNode || found.has(code) || found.size >= CODES_MAX) continue;
        found.add(code);
        pending.push(this.#word(node + NODE.left), this.#word(node + NODE.right));
      }
    }
    return found;
  }

  /** A list is a `std::vector`: first, end, end of its room. Behind its end lies what was there. */
  *#lists(native: number): Generator<CodeList> {
    for (let offset = 0; offset < NATIVE_MODULE_BYTES; offset += 8) {
      const [first, end] = [this.#word(native + offset), this.#word(native + offset + 8)];
      if (first === 0) continue;
      if (this.#isCode(this.#word(first + NODE.value), native, this.#word(first + NODE.key)))
        yield { kind: "map", node: first };
      if (end < first || this.#word(native + offset + 16) < end) continue;
      const count = (end - first) / 8;
      const isList = Number.isInteger(count) && count > 0 && count < CODES_MAX;
      const ends = [first, end - 8];
      const hasCode = isList && ends.every((at) => this.#isCode(this.#word(at), native, null));
      if (hasCode) yield { kind: "list", first, end };
      if (hasCode || count === 0) offset += 8; // what lies in the rest of its room is not a list
    }
  }

  #isCode(code: number, native: number, start: number | null): boolean {
    if (code === 0 || this.#word(code) !== native) return false;
    const own = this.#word(code + CODE_START);
    return own !== 0 && (start === null || own === start);
  }

  #rootOf(native: number, node: number): number {
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
    return root;
  }

  /** From any node up to the root, and down to the last code that begins at or before the pc. */
  #inMap(native: number, node: number, pc: number): number {
    let [best, at] = [0, this.#rootOf(native, node)];
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
      const start = this.#word(code + CODE_START);
      if (start <= pc && start > this.#word(best + CODE_START)) best = code;
    }
    return best;
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
