/**
 * Tokens of a program, one at a time. The parser says where a probe's name may stand, since such a
 * name has characters that mean something else elsewhere (`fn:lib/db.query:return`).
 */
import { TraceProgramError } from "./errors.ts";
import type { Unit } from "./syntax.ts";
import { STRING_CHARS_MAX } from "./limits.ts";

export type Token = { readonly offset: number; readonly end: number } & (
  | { readonly kind: "number"; readonly value: number; readonly unit: Unit | null }
  | { readonly kind: "text"; readonly value: string }
  | { readonly kind: "name"; readonly value: string }
  | { readonly kind: "sign"; readonly value: string }
  | { readonly kind: "end"; readonly value: "" }
);

/** Longest first. */
const SIGNS = "=== !== ?? || && == != <= >= { } ( ) [ ] , ; = < > + - * / % ! ~ ? : . @".split(" ");

const NAME = /[A-Za-z_$][A-Za-z0-9_$]*/y;
const NUMBER = /(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;
const UNIT = /[A-Za-z]+/y;
const BLANK = /(?:\s+|#[^\n]*)+/y;
/** `http:done`; with `/` inside only where paths are meant. */
const PROBE = /[A-Za-z_$*][A-Za-z0-9_$*.:@#<>-]*/y;
const PATH_PROBE = /(?:fn|line|dc):[^\s,{}]+/y;

/** Milliseconds, or bytes. */
const UNITS: ReadonlyMap<string, readonly [number, Unit]> = new Map([
  ["ns", [1e-6, "ms"]],
  ["us", [1e-3, "ms"]],
  ["ms", [1, "ms"]],
  ["s", [1000, "ms"]],
  ["m", [60_000, "ms"]],
  ["h", [3_600_000, "ms"]],
  ["B", [1, "bytes"]],
  ["kB", [1000, "bytes"]],
  ["KiB", [1024, "bytes"]],
  ["MB", [1e6, "bytes"]],
  ["MiB", [1024 ** 2, "bytes"]],
  ["GB", [1e9, "bytes"]],
  ["GiB", [1024 ** 3, "bytes"]],
]);

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

export class Lexer {
  readonly source: string;
  #at = 0;

  constructor(source: string) {
    this.source = source;
  }

  fail(offset: number, problem: string, hint: string): never {
    throw new TraceProgramError(this.source, offset, problem, hint);
  }

  /** Continues behind a token. */
  seek(offset: number): void {
    this.#at = offset;
  }

  next(): Token {
    this.#skip();
    const offset = this.#at;
    const char = this.source[offset];
    if (char === undefined) return { kind: "end", value: "", offset, end: offset };
    if (char === '"' || char === "'") return this.#text(char);
    const name = this.#take(NAME);
    if (name !== null) return { kind: "name", value: name, offset, end: this.#at };
    if (/\d/.test(char)) return this.#number();
    const sign = SIGNS.find((each) => this.source.startsWith(each, offset));
    if (sign === undefined) {
      const shown = JSON.stringify(String.fromCodePoint(this.source.codePointAt(offset) ?? 0));
      this.fail(offset, `${shown} means nothing here`, "Text stands in double quotes.");
    }
    this.#at += sign.length;
    return { kind: "sign", value: sign, offset, end: this.#at };
  }

  /** A probe's name, or null where none begins. */
  probe(): { readonly offset: number; readonly text: string } | null {
    this.#skip();
    const offset = this.#at;
    const text = this.#take(PATH_PROBE) ?? this.#take(PROBE);
    return text === null ? null : { offset, text };
  }

  #take(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.source)?.[0] ?? null;
    if (found !== null) this.#at += found.length;
    return found;
  }

  #skip(): void {
    for (;;) {
      if (this.#take(BLANK) !== null) continue;
      if (!this.source.startsWith("/*", this.#at)) return;
      const end = this.source.indexOf("*/", this.#at + 2);
      if (end < 0) this.fail(this.#at, "a comment has no end", "Close it by */.");
      this.#at = end + 2;
    }
  }

  #number(): Token {
    const offset = this.#at;
    const digits = this.#take(NUMBER) ?? "";
    const unitAt = this.#at;
    const name = this.#take(UNIT);
    if (name === null) {
      return { kind: "number", value: Number(digits), unit: null, offset, end: this.#at };
    }
    const unit = UNITS.get(name);
    if (unit === undefined) {
      const known = [...UNITS.keys()].join(" ");
      this.fail(unitAt, `there is no unit ${name.slice(0, 20)}`, `Units are ${known}.`);
    }
    const value = Number(digits) * unit[0];
    return { kind: "number", value, unit: unit[1], offset, end: this.#at };
  }

  #text(quote: string): Token {
    const offset = this.#at;
    let value = "";
    for (let at = offset + 1; ; at += 1) {
      const char = this.source[at];
      if (char === undefined || char === "\n") {
        this.fail(offset, "a text has no end", `Close it by ${quote} on the same line.`);
      }
      if (char === quote) {
        this.#at = at + 1;
        break;
      }
      if (char === "\\") {
        at += 1;
        const escaped = this.source[at] ?? "";
        value += ESCAPES[escaped] ?? escaped;
      } else value += char;
    }
    if (value.length > STRING_CHARS_MAX) {
      const most = `A text has at most ${STRING_CHARS_MAX} characters.`;
      this.fail(offset, `this text has ${value.length} characters`, most);
    }
    return { kind: "text", value, offset, end: this.#at };
  }
}
