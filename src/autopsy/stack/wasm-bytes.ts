/**
 * As much of a WebAssembly module as stacks need: where the body of each function begins, and what
 * it is called. The bytes come from a process that may be damaged: what cannot be read is left out.
 *
 * ```
 *   \0asm version | section: id, bytes, content ...
 *                     2 imports   functions of them have the first numbers
 *                    10 code      bytes of a body, its body; one after the other
 *                     0 "name"    0 the module, 1 the functions
 * ```
 * Source: WebAssembly Core Specification 3.0, binary format; appendix, name section.
 */
import { ByteCursor } from "./byte-cursor.ts";

const HEAD = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
const IMPORTS = 2;
const CODE = 10;
const CUSTOM = 0;
const MODULE_NAME = 0;
const FUNCTION_NAMES = 1;
/** Kinds of what is imported. */
const [FUNCTION, TABLE, MEMORY, GLOBAL, TAG] = [0, 1, 2, 3, 4];
/** `(ref null ht)` and `(ref ht)`: a heap type follows. */
const REFERENCES: ReadonlySet<number> = new Set([0x63, 0x64]);
const HAS_MAXIMUM = 1;
const HAS_PAGE_SIZE = 8;
const FUNCTIONS_MAX = 1_000_000;
const NAME_BYTES_MAX = 1_000;

export class WasmBytes {
  readonly #bytes: Buffer;
  /** Where each body begins, of functions that are not imported. */
  readonly #bodies: number[] = [];
  readonly #names = new Map<number, string>();
  #imported = 0;
  #module = "";

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    const cursor = new ByteCursor(bytes, HEAD.length);
    while (!cursor.isAtEnd) {
      const id = cursor.byte();
      const length = cursor.unsigned();
      const end = cursor.index + length;
      if (cursor.isBroken || end > bytes.length) return;
      const section = new ByteCursor(bytes.subarray(0, end), cursor.index);
      if (id === IMPORTS) this.#readImports(section);
      else if (id === CODE) this.#readCode(section);
      else if (id === CUSTOM && this.#text(section) === "name") this.#readNames(section);
      cursor.index = end;
    }
  }

  static isHead(bytes: Buffer): boolean {
    return bytes.subarray(0, HEAD.length).equals(HEAD);
  }

  /** Imported ones, which come first, and those that have a body. */
  get functionCount(): number {
    return this.#imported + this.#bodies.length;
  }

  get importedCount(): number {
    return this.#imported;
  }

  /** Where the body of a function begins; null: it is imported, or there is no such. */
  bodyOf(index: number): number | null {
    return this.#bodies[index - this.#imported] ?? null;
  }

  /** `module.function`, as far as the module has names; or empty. */
  nameOf(index: number): string {
    const name = this.#names.get(index) ?? "";
    return name === "" || this.#module === "" ? name : `${this.#module}.${name}`;
  }

  #readImports(cursor: ByteCursor): void {
    const count = cursor.unsigned();
    for (let done = 0; done < count && !cursor.isAtEnd; done += 1) {
      this.#text(cursor);
      this.#text(cursor);
      const kind = cursor.byte();
      if (kind === FUNCTION) {
        cursor.unsigned();
        this.#imported += 1;
      } else if (kind === TABLE) {
        skipType(cursor);
        skipLimits(cursor);
      } else if (kind === MEMORY) skipLimits(cursor);
      else if (kind === GLOBAL) {
        skipType(cursor);
        cursor.byte();
      } else if (kind === TAG) {
        cursor.byte();
        cursor.unsigned();
      } else return;
    }
  }

  #readCode(cursor: ByteCursor): void {
    const count = Math.min(cursor.unsigned(), FUNCTIONS_MAX);
    for (let done = 0; done < count && !cursor.isAtEnd; done += 1) {
      const length = cursor.unsigned();
      if (cursor.isBroken) return;
      this.#bodies.push(cursor.index);
      cursor.index += length;
    }
  }

  #readNames(cursor: ByteCursor): void {
    while (!cursor.isAtEnd) {
      const id = cursor.byte();
      const length = cursor.unsigned();
      const end = cursor.index + length;
      if (cursor.isBroken) return;
      if (id === MODULE_NAME) this.#module = this.#text(cursor);
      if (id === FUNCTION_NAMES) {
        const count = Math.min(cursor.unsigned(), FUNCTIONS_MAX);
        for (let done = 0; done < count && !cursor.isAtEnd; done += 1) {
          const index = cursor.unsigned();
          this.#names.set(index, this.#text(cursor));
        }
      }
      cursor.index = end;
    }
  }

  #text(cursor: ByteCursor): string {
    const length = cursor.unsigned();
    const start = cursor.index;
    cursor.index += length;
    return this.#bytes.toString("utf8", start, start + Math.min(length, NAME_BYTES_MAX));
  }
}

/** The type of a value: one byte, or two where it is a reference. */
function skipType(cursor: ByteCursor): void {
  if (REFERENCES.has(cursor.byte())) cursor.unsigned();
}

function skipLimits(cursor: ByteCursor): void {
  const flags = cursor.byte();
  cursor.unsigned();
  if ((flags & HAS_MAXIMUM) !== 0) cursor.unsigned();
  if ((flags & HAS_PAGE_SIZE) !== 0) cursor.unsigned();
}
