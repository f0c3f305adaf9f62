/**
 * A symbol table: addresses to names and back. The node binary has 130,000 of them, so they are
 * kept as numbers, and a name becomes a string when somebody asks.
 */

/** Bytes of `Elf64_Sym`. */
const SYMBOL_BYTES = 24;
const STT_OBJECT = 1;
const STT_FUNC = 2;
const STT_TLS = 6;
const STT_GNU_IFUNC = 10;
const SYMBOLS_MAX = 8_000_000;
/** Without a size, a symbol is believed to reach this far at most. */
const UNSIZED_REACH_BYTES = 64 * 1024;

export interface Symbol {
  readonly name: string;
  /** Address in the file; of a thread-local variable: its offset in the segment. */
  readonly address: number;
  readonly bytes: number;
  readonly kind: "function" | "object" | "thread-local";
}

interface Source {
  readonly entries: Buffer;
  readonly strings: Buffer;
}

/** See the file's docstring. Hostile input makes it empty or wrong, but never endless. */
export class SymbolTable {
  readonly #sources: readonly Source[];
  /** Of functions, sorted by address: address, and source << 28 | index. */
  #addresses: Float64Array = new Float64Array(0);
  #references: Uint32Array = new Uint32Array(0);
  #byName: Map<string, number> | null = null;
  #isSorted = false;

  constructor(sources: readonly Source[]) {
    this.#sources = sources.slice(0, 8);
  }

  /** The symbol of exactly that name. */
  named(name: string): Symbol | null {
    this.#byName ??= this.#indexNames();
    const reference = this.#byName.get(name);
    return reference === undefined ? null : this.#symbol(reference);
  }

  /** Every symbol whose name fits, functions and objects. */
  *matching(fits: (name: string) => boolean): Generator<Symbol> {
    this.#byName ??= this.#indexNames();
    for (const [name, reference] of this.#byName) {
      if (fits(name)) yield this.#symbol(reference);
    }
  }

  /** The function at an address of the file; `offset` is the distance from its start. */
  at(address: number): { readonly symbol: Symbol; readonly offset: number } | null {
    this.#sort();
    let low = 0;
    let high = this.#addresses.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#addresses[middle] as number) <= address) low = middle + 1;
      else high = middle;
    }
    // several may begin there, some without a size: the one that reaches
    for (let index = low - 1; index >= 0 && index >= low - 8; index -= 1) {
      const symbol = this.#symbol(this.#references[index] as number);
      const offset = address - symbol.address;
      if (offset < (symbol.bytes === 0 ? UNSIZED_REACH_BYTES : symbol.bytes)) {
        return { symbol, offset };
      }
    }
    return null;
  }

  #sort(): void {
    if (this.#isSorted) return;
    this.#isSorted = true;
    const functions: { address: number; reference: number }[] = [];
    for (const { address, reference } of this.#all(true)) functions.push({ address, reference });
    functions.sort((a, b) => a.address - b.address);
    this.#addresses = Float64Array.from(functions, ({ address }) => address);
    this.#references = Uint32Array.from(functions, ({ reference }) => reference);
  }

  #indexNames(): Map<string, number> {
    const names = new Map<string, number>();
    for (const { reference } of this.#all(false)) {
      const { name } = this.#symbol(reference);
      if (name !== "" && !names.has(name)) names.set(name, reference);
    }
    return names;
  }

  *#all(functionsOnly: boolean): Generator<{ address: number; reference: number }> {
    for (const [source, { entries }] of this.#sources.entries()) {
      const count = Math.min(Math.floor(entries.length / SYMBOL_BYTES), SYMBOLS_MAX);
      for (let index = 0; index < count; index += 1) {
        const at = index * SYMBOL_BYTES;
        const type = (entries[at + 4] as number) & 0xf;
        const isFunction = type === STT_FUNC || type === STT_GNU_IFUNC;
        const isData = type === STT_OBJECT || type === STT_TLS || type === 0;
        if (!(isFunction || (isData && !functionsOnly))) continue;
        if (entries.readUInt16LE(at + 6) === 0) continue; // undefined: of another file
        const address =
          entries.readUInt32LE(at + 8) + entries.readUInt32LE(at + 12) * 0x1_0000_0000;
        yield { address, reference: source * 0x1000_0000 + index };
      }
    }
  }

  #symbol(reference: number): Symbol {
    const source = this.#sources[Math.floor(reference / 0x1000_0000)] as Source; // made by #all
    const at = (reference % 0x1000_0000) * SYMBOL_BYTES;
    const { entries, strings } = source;
    const nameAt = entries.readUInt32LE(at);
    const end = strings.indexOf(0, nameAt);
    const type = (entries[at + 4] as number) & 0xf;
    return {
      name: strings.toString("latin1", nameAt, end < 0 ? strings.length : end),
      address: entries.readUInt32LE(at + 8) + entries.readUInt32LE(at + 12) * 0x1_0000_0000,
      bytes: entries.readUInt32LE(at + 16) + entries.readUInt32LE(at + 20) * 0x1_0000_0000,
      kind:
        type === STT_TLS
          ? "thread-local"
          : type === STT_FUNC || type === STT_GNU_IFUNC
            ? "function"
            : "object",
    };
  }
}
