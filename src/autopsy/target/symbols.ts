/**
 * A symbol table: addresses to names and back. The node binary has 190,000 of them, so they are
 * kept as numbers, names are compared as bytes, and one becomes a string when somebody asks. A
 * process that stands still may wait for this, in a program that has just been started: what goes
 * over all symbols are small loops over numbers, which V8 compiles soon.
 */

/** Words of `Elf64_Sym`: name, type and section, address, size. */
const SYMBOL_WORDS = 6;
const SYMBOL_BYTES = 4 * SYMBOL_WORDS;
const STT_OBJECT = 1;
const STT_FUNC = 2;
const STT_TLS = 6;
const STT_GNU_IFUNC = 10;
const SYMBOLS_MAX = 8_000_000;
const SOURCES_MAX = 8;
/** Without a size, a symbol is believed to reach this far at most. */
const UNSIZED_REACH_BYTES = 64 * 1024;
/** Functions before an address that may reach it: several may begin there, some without a size. */
const NEAR_MAX = 8;

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
  /** References, the numbers of symbols, begin here: those of the sources before are smaller. */
  readonly base: number;
}

/** See the file's docstring. Hostile input makes it empty or wrong, but never endless. */
export class SymbolTable {
  readonly #sources: readonly Words[];
  #functions: FunctionsByAddress | null = null;
  /** Of names that somebody has asked for, or that were found by a beginning. */
  readonly #byName = new Map<string, number | null>();
  readonly #byBeginning = new Map<string, readonly number[]>();

  constructor(sources: readonly Source[]) {
    let base = 0;
    this.#sources = sources.slice(0, SOURCES_MAX).map(({ entries, strings }) => {
      const count = Math.min(Math.floor(entries.length / SYMBOL_BYTES), SYMBOLS_MAX);
      const source = { words: wordsOf(entries, count * SYMBOL_WORDS), count, strings, base };
      base += count;
      return source;
    });
  }

  /** The symbol of exactly that name. */
  named(name: string): Symbol | null {
    let reference = this.#byName.get(name);
    if (reference === undefined) {
      const needle = needleOf(`${name}\0`, 1);
      this.#search([needle]);
      reference = needle.found[0] ?? null;
      this.#byName.set(name, reference);
    }
    return reference === null ? null : this.#symbol(reference);
  }

  /** Every symbol whose name begins so, functions and objects, prefix by prefix; no name twice. */
  *beginning(...prefixes: readonly string[]): Generator<Symbol> {
    this.expect(...prefixes);
    const seen = new Set<string>();
    for (const reference of prefixes.flatMap((each) => this.#byBeginning.get(each) ?? [])) {
      const symbol = this.#symbol(reference);
      if (seen.has(symbol.name)) continue;
      seen.add(symbol.name);
      this.#byName.set(symbol.name, reference);
      yield symbol;
    }
  }

  /** `beginning` is going to be asked for these: one search for all of them. */
  expect(...prefixes: readonly string[]): void {
    const needles = prefixes
      .filter((prefix) => !this.#byBeginning.has(prefix))
      .map((prefix) => needleOf(prefix, Infinity));
    if (needles.length > 0) this.#search(needles);
    for (const { name, found } of needles) this.#byBeginning.set(name, found);
  }

  /** The function at an address of the file; `offset` is the distance from its start. */
  at(address: number): { readonly symbol: Symbol; readonly offset: number } | null {
    this.#functions ??= new FunctionsByAddress(this.#sources);
    for (const reference of this.#functions.before(address)) {
      const symbol = this.#symbol(reference);
      const offset = address - symbol.address;
      if (offset < (symbol.bytes === 0 ? UNSIZED_REACH_BYTES : symbol.bytes)) {
        return { symbol, offset };
      }
    }
    return null;
  }

  #search(needles: readonly Needle[]): void {
    const byFirst: Needle[][] = [];
    for (const needle of needles) (byFirst[needle.text[0] ?? 0] ??= []).push(needle);
    const table = Array.from({ length: 256 }, (_, first) => byFirst[first]);
    for (const source of this.#sources) search(source, table);
  }

  #symbol(reference: number): Symbol {
    const { words, strings, base } = sourceOf(this.#sources, reference);
    const at = (reference - base) * SYMBOL_WORDS;
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
function isDefined(info: number): boolean {
  const type = info & 0xf;
  const isData = type === STT_OBJECT || type === STT_TLS || type === 0;
  return isFunction(info) || (isData && info >>> 16 !== 0);
}

/** One that this file has itself. */
function isFunction(info: number): boolean {
  const type = info & 0xf;
  return (type === STT_FUNC || type === STT_GNU_IFUNC) && info >>> 16 !== 0;
}

/** What names begin with. Most begin with _ZN: the last byte tells more. */
interface Needle {
  readonly name: string;
  readonly text: Buffer;
  readonly end: number;
  readonly last: number;
  readonly most: number;
  /** References, up to `most`. */
  readonly found: number[];
}

function needleOf(name: string, most: number): Needle {
  const text = Buffer.from(name, "latin1");
  const end = Math.max(0, text.length - 1);
  return { name, text, end, last: text[end] ?? 0, most, found: [] };
}

/** @param needles by their first byte */
function search(
  { words, count, strings, base }: Words,
  needles: readonly (readonly Needle[] | undefined)[],
): void {
  for (let index = 0; index < count; index += 1) {
    const nameAt = words[index * SYMBOL_WORDS] as number;
    const some = needles[strings[nameAt] ?? 0];
    if (some === undefined) continue;
    for (let which = 0; which < some.length; which += 1) {
      const { text, end, last, most, found } = some[which] as Needle;
      if (strings[nameAt + end] !== last || !beginsAt(strings, nameAt, text)) continue;
      const isWanted = isDefined(words[index * SYMBOL_WORDS + 1] as number);
      if (isWanted && found.length < most) found.push(base + index);
    }
  }
}

/**
 * Functions by address, those of the same address in their order. Each is two words, reference and
 * address: together a number of 64 bits, and such numbers are sorted without a comparison of ours.
 */
class FunctionsByAddress {
  readonly #words: Uint32Array;
  readonly #count: number;
  /** References alone, where an address has more than 32 bits. */
  readonly #wide: Uint32Array | null = null;
  readonly #addressOf: (reference: number) => number;

  constructor(sources: readonly Words[]) {
    this.#addressOf = (reference) => {
      const { words, base } = sourceOf(sources, reference);
      return long(words, (reference - base) * SYMBOL_WORDS + 2);
    };
    this.#words = new Uint32Array(2 * sources.reduce((sum, { count }) => sum + count, 0));
    let count = 0;
    for (const source of sources) if (count >= 0) count = fill(this.#words, count, source);
    if (count >= 0) new BigUint64Array(this.#words.buffer, 0, count).sort();
    else {
      const references = sources.flatMap((source) => [...functionsOf(source)]);
      const byAddress = (a: number, b: number): number => this.#addressOf(a) - this.#addressOf(b);
      this.#wide = Uint32Array.from(references).toSorted(byAddress);
    }
    this.#count = this.#wide?.length ?? count;
  }

  /** References of the last functions that begin at `address` or before it, the last one first. */
  *before(address: number): Generator<number> {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#address(middle) <= address) low = middle + 1;
      else high = middle;
    }
    for (let index = low - 1; index >= Math.max(0, low - NEAR_MAX); index -= 1) {
      yield this.#reference(index);
    }
  }

  #address(index: number): number {
    if (this.#wide !== null) return this.#addressOf(this.#reference(index));
    return this.#words[2 * index + 1] as number;
  }

  #reference(index: number): number {
    return (this.#wide === null ? this.#words[2 * index] : this.#wide[index]) as number;
  }
}

/**
 * Writes reference and address of each function behind `count` others.
 * @returns how many there are then; -1 when an address has more than 32 bits
 */
function fill(into: Uint32Array, count: number, { words, count: all, base }: Words): number {
  let at = 2 * count;
  for (let index = 0; index < all; index += 1) {
    if (!isFunction(words[index * SYMBOL_WORDS + 1] as number)) continue;
    if (words[index * SYMBOL_WORDS + 3] !== 0) return -1;
    into[at] = base + index;
    into[at + 1] = words[index * SYMBOL_WORDS + 2] as number;
    at += 2;
  }
  return at / 2;
}

/** References of functions. */
function* functionsOf({ words, count, base }: Words): Generator<number> {
  for (let index = 0; index < count; index += 1) {
    if (isFunction(words[index * SYMBOL_WORDS + 1] as number)) yield base + index;
  }
}

function sourceOf(sources: readonly Words[], reference: number): Words {
  return sources.findLast(({ base }) => base <= reference) as Words; // references are made of them
}

function long(words: Uint32Array, at: number): number {
  return (words[at] as number) + (words[at + 1] as number) * 0x1_0000_0000;
}

function beginsAt(bytes: Buffer, at: number, prefix: Buffer): boolean {
  for (let index = 0; index < prefix.length; index += 1) {
    if (bytes[at + index] !== prefix[index]) return false;
  }
  return true;
}
