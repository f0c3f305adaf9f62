/**
 * A symbol table: addresses to names and back. The node binary has 190,000 of them, so they are
 * kept as numbers, names are compared as bytes, and one becomes a string when somebody asks.
 */

/** Words of `Elf64_Sym`: name, type and section, address, size. */
const SYMBOL_WORDS = 6;
const SYMBOL_BYTES = 4 * SYMBOL_WORDS;
const STT_OBJECT = 1;
const STT_FUNC = 2;
const STT_TLS = 6;
const STT_GNU_IFUNC = 10;
const SYMBOLS_MAX = 8_000_000;
/** References are source << 28 | index. */
const SOURCE_STEP = 0x1000_0000;
/** Without a size, a symbol is believed to reach this far at most. */
const UNSIZED_REACH_BYTES = 64 * 1024;
/** Addresses and indices below these are one number, which sorts without a comparison of ours. */
const PACKED_ADDRESS_MAX = 0x1_0000_0000;
const PACKED_INDEX_MAX = 0x20_0000;
/** Names that end in a name that is looked for. */
const PLACES_MAX = 1000;

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

interface Words {
  readonly words: Uint32Array;
  readonly count: number;
  readonly strings: Buffer;
}

/** See the file's docstring. Hostile input makes it empty or wrong, but never endless. */
export class SymbolTable {
  readonly #sources: readonly Words[];
  /** Of functions, sorted by address: address, and reference. */
  #addresses: Float64Array = new Float64Array(0);
  #references: Uint32Array = new Uint32Array(0);
  /** Of names that somebody has asked for. */
  readonly #byName = new Map<string, number | null>();
  #isSorted = false;

  constructor(sources: readonly Source[]) {
    this.#sources = sources.slice(0, 8).map(({ entries, strings }) => {
      const count = Math.min(Math.floor(entries.length / SYMBOL_BYTES), SYMBOLS_MAX);
      return { words: wordsOf(entries, count * SYMBOL_WORDS), count, strings };
    });
  }

  /** The symbol of exactly that name. */
  named(name: string): Symbol | null {
    let reference = this.#byName.get(name);
    if (reference === undefined) {
      reference = this.#find(Buffer.from(`${name}\0`, "latin1"));
      this.#byName.set(name, reference);
    }
    return reference === null ? null : this.#symbol(reference);
  }

  /** Every symbol whose name begins so, functions and objects; of one name the first. */
  *beginning(...prefixes: readonly string[]): Generator<Symbol> {
    const wanted = prefixes.map((prefix) => Buffer.from(prefix, "latin1"));
    const isWanted = (strings: Buffer, nameAt: number): boolean => {
      for (const prefix of wanted) if (beginsAt(strings, nameAt, prefix)) return true;
      return false;
    };
    const seen = new Set<string>();
    for (const [source, { words, count, strings }] of this.#sources.entries()) {
      for (let index = 0; index < count; index += 1) {
        if (!isDefined(words, index, false)) continue;
        const nameAt = words[index * SYMBOL_WORDS] as number;
        if (!isWanted(strings, nameAt)) continue;
        const symbol = this.#symbol(source * SOURCE_STEP + index);
        if (seen.has(symbol.name)) continue;
        seen.add(symbol.name);
        yield symbol;
      }
    }
  }

  /** Every symbol whose name fits; slower, because each name becomes a string. */
  *matching(fits: (name: string) => boolean): Generator<Symbol> {
    for (const reference of this.#defined(false)) {
      const symbol = this.#symbol(reference);
      if (fits(symbol.name)) yield symbol;
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
    const references = this.#defined(true);
    const addresses = new Float64Array(references.length);
    let isPacked = references.length < PACKED_INDEX_MAX;
    for (let index = 0; index < addresses.length; index += 1) {
      const address = this.#addressOf(references[index] as number);
      addresses[index] = address;
      isPacked &&= address < PACKED_ADDRESS_MAX;
    }
    const order = isPacked ? packedOrder(addresses) : plainOrder(addresses);
    this.#addresses = new Float64Array(order.length);
    this.#references = new Uint32Array(order.length);
    for (let at = 0; at < order.length; at += 1) {
      const index = order[at] as number;
      this.#addresses[at] = addresses[index] as number;
      this.#references[at] = references[index] as number;
    }
  }

  /** Looks for the text first: many times faster than going from name to name. */
  #find(text: Buffer): number | null {
    for (const [source, { words, count, strings }] of this.#sources.entries()) {
      const places = new Set<number>();
      let at = strings.indexOf(text);
      for (; at >= 0 && places.size < PLACES_MAX; at = strings.indexOf(text, at + 1)) {
        places.add(at); // where it ends another name, no symbol begins there
      }
      if (places.size === 0) continue;
      for (let index = 0; index < count; index += 1) {
        if (!places.has(words[index * SYMBOL_WORDS] as number)) continue;
        if (isDefined(words, index, false)) return source * SOURCE_STEP + index;
      }
    }
    return null;
  }

  /** References of all that this file has itself. */
  #defined(functionsOnly: boolean): Uint32Array {
    const total = this.#sources.reduce((sum, { count }) => sum + count, 0);
    const references = new Uint32Array(total);
    let length = 0;
    for (const [source, { words, count }] of this.#sources.entries()) {
      for (let index = 0; index < count; index += 1) {
        if (!isDefined(words, index, functionsOnly)) continue;
        references[length] = source * SOURCE_STEP + index;
        length += 1;
      }
    }
    return references.subarray(0, length);
  }

  #sourceOf(reference: number): Words {
    return this.#sources[Math.floor(reference / SOURCE_STEP)] as Words; // made by #defined
  }

  #addressOf(reference: number): number {
    const { words } = this.#sourceOf(reference);
    return long(words, (reference % SOURCE_STEP) * SYMBOL_WORDS + 2);
  }

  #symbol(reference: number): Symbol {
    const { words, strings } = this.#sourceOf(reference);
    const at = (reference % SOURCE_STEP) * SYMBOL_WORDS;
    const nameAt = words[at] as number;
    const end = strings.indexOf(0, nameAt);
    const type = (words[at + 1] as number) & 0xf;
    return {
      name: strings.toString("latin1", nameAt, end < 0 ? strings.length : end),
      address: long(words, at + 2),
      bytes: long(words, at + 4),
      kind:
        type === STT_TLS
          ? "thread-local"
          : type === STT_FUNC || type === STT_GNU_IFUNC
            ? "function"
            : "object",
    };
  }
}

/** In the order of this machine, which is that of the file (little endian, see ElfFile). */
function wordsOf({ buffer, byteOffset, byteLength }: Buffer, count: number): Uint32Array {
  if (byteOffset % 4 === 0) return new Uint32Array(buffer, byteOffset, count);
  return new Uint32Array(buffer.slice(byteOffset, byteOffset + byteLength), 0, count);
}

/** Whether a symbol is one of a function or of data, and not of another file. */
function isDefined(words: Uint32Array, index: number, functionsOnly: boolean): boolean {
  const info = words[index * SYMBOL_WORDS + 1] as number;
  if (info >>> 16 === 0) return false;
  const type = info & 0xf;
  if (type === STT_FUNC || type === STT_GNU_IFUNC) return true;
  return !functionsOnly && (type === STT_OBJECT || type === STT_TLS || type === 0);
}

function long(words: Uint32Array, at: number): number {
  return (words[at] as number) + (words[at + 1] as number) * 0x1_0000_0000;
}

/** Indices by address, those of the same address in their order. */
function packedOrder(addresses: Float64Array): Uint32Array {
  const packed = new Float64Array(addresses.length);
  for (let index = 0; index < packed.length; index += 1) {
    packed[index] = (addresses[index] as number) * PACKED_INDEX_MAX + index;
  }
  packed.sort();
  const order = new Uint32Array(packed.length);
  for (let at = 0; at < order.length; at += 1)
    order[at] = (packed[at] as number) % PACKED_INDEX_MAX;
  return order;
}

/** The same, of large addresses or very many. */
function plainOrder(addresses: Float64Array): Uint32Array {
  const addressAt = (index: number): number => addresses[index] as number;
  return Uint32Array.from(addresses.keys()).toSorted((a, b) => addressAt(a) - addressAt(b));
}

function beginsAt(bytes: Buffer, at: number, prefix: Buffer): boolean {
  for (let index = 0; index < prefix.length; index += 1) {
    if (bytes[at + index] !== prefix[index]) return false;
  }
  return true;
}
