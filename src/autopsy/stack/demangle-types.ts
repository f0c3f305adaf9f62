/** Types, names and template arguments of mangled C++ names: see demangle.ts. */
import { NotAName } from "./demangle-print.ts";
import type { Part } from "./demangle-print.ts";
import { BUILTIN_TYPES, D_TYPES, OPERATORS, SPECIAL, STANDARD } from "./demangle-tables.ts";

const DEPTH_MAX = 200;
const STEPS_MAX = 50_000;
const REFERENCES_MAX = 4_000;

/** What a name is, besides how it is written. */
export interface NameState {
  /** Of a template, whose functions say what they return. */
  args?: readonly Part[] | null;
  /** A constructor, a destructor or a conversion, which do not. */
  isStructor?: boolean;
  /** ` const`, ` &`: of a method. */
  qualifiers?: string;
}

export function text(value: string): Part {
  return { kind: "text", text: value };
}

export abstract class TypeParser {
  readonly #symbol: string;
  at = 0;
  #depth = 0;
  #steps = 0;
  readonly #seen: Part[] = [];

  constructor(symbol: string) {
    this.#symbol = symbol;
  }

  abstract expression(): Part;
  abstract literal(): Part;

  get rest(): string {
    return this.#symbol.slice(this.at);
  }

  peek(count = 1): string {
    return this.#symbol.slice(this.at, this.at + count);
  }

  accept(wanted: string): boolean {
    if (!this.#symbol.startsWith(wanted, this.at)) return false;
    this.at += wanted.length;
    return true;
  }

  expect(wanted: string): void {
    if (!this.accept(wanted)) throw new NotAName();
  }

  /** Runs one rule, within bounds. */
  within<Value>(rule: () => Value): Value {
    this.#depth += 1;
    this.#steps += 1;
    if (this.#depth > DEPTH_MAX || this.#steps > STEPS_MAX) throw new NotAName();
    const value = rule();
    this.#depth -= 1;
    return value;
  }

  remember(part: Part): Part {
    if (this.#seen.length >= REFERENCES_MAX) throw new NotAName();
    this.#seen.push(part);
    return part;
  }

  number(): number {
    let digits = "";
    for (let next = this.peek(); next >= "0" && next <= "9" && next !== ""; next = this.peek()) {
      digits += next;
      this.at += 1;
    }
    if (digits === "" || digits.length > 9) throw new NotAName();
    return Number(digits);
  }

  /** `<encoding>`: a function with its types, a variable, or what the compiler made. */
  encoding({ hasResult = true }: { readonly hasResult?: boolean } = {}): Part {
    return this.within(() => {
      const special = this.#special();
      if (special !== null) return special;
      const state: NameState = {};
      const { part: name } = this.name(state);
      const isEnd = this.rest === "" || this.peek() === "E";
      const part = isEnd ? name : this.#function(name, state);
      return part.kind === "function" && !hasResult ? { ...part, result: null } : part;
    });
  }

  #function(name: Part, { args = null, isStructor, qualifiers }: NameState): Part {
    const hasResult = args !== null && isStructor !== true;
    const result = hasResult ? this.type() : null;
    const params = this.#types();
    if (params.length === 0) throw new NotAName(); // void, at least
    return { kind: "function", result, name, params, suffix: qualifiers ?? "", args };
  }

  #types(): Part[] {
    const params: Part[] = [];
    while (this.rest !== "" && !/^[E.]/u.test(this.rest)) {
      if (/^(?:RE|OE)/u.test(this.rest)) break; // qualifier of a function
      params.push(this.type());
    }
    return params;
  }

  #special(): Part | null {
    const code = this.peek(2);
    if (this.accept("TA")) {
      return { kind: "prefix", text: "template parameter object for ", part: this.#templateArg() };
    }
    const known = SPECIAL.get(code);
    if (known !== undefined) {
      this.at += 2;
      const [before, of] = known;
      return { kind: "prefix", text: before, part: of === "type" ? this.type() : this.encoding() };
    }
    if (code === "GR") {
      this.at += 2;
      const { part } = this.name({});
      const index = this.#sequence();
      return { kind: "prefix", text: `reference temporary #${index} for `, part };
    }
    if (code === "TC") return this.#constructionTable();
    if (this.accept("Th")) return this.#thunk("non-virtual thunk to ", 1);
    if (this.accept("Tv")) return this.#thunk("virtual thunk to ", 2);
    if (this.accept("Tc")) {
      for (let count = 0; count < 2; count += 1) this.#offsets(this.accept("h") ? 1 : this.#two());
      return { kind: "prefix", text: "covariant return thunk to ", part: this.encoding() };
    }
    return null;
  }

  #two(): number {
    this.expect("v");
    return 2;
  }

  #thunk(before: string, numbers: number): Part {
    this.#offsets(numbers);
    return { kind: "prefix", text: before, part: this.encoding() };
  }

  #offsets(numbers: number): void {
    for (let count = 0; count < numbers; count += 1) {
      this.accept("n");
      this.number();
      this.expect("_");
    }
  }

  #constructionTable(): Part {
    this.expect("TC");
    const derived = this.type();
    this.number();
    this.expect("_");
    const parts = [text("construction vtable for "), this.type(), text("-in-"), derived];
    return { kind: "sequence", parts };
  }

  /** `<name>`. With a state, its template arguments are those that T_ means. */
  name(state: NameState | null): { readonly part: Part } {
    return this.within(() => {
      if (this.accept("N")) return { part: this.#nested(state) };
      if (this.accept("Z")) return { part: this.#local(state) };
      let part: Part;
      if (this.peek() === "S" && this.peek(2) !== "St") {
        part = this.substitution();
        if (this.peek() !== "I") throw new NotAName();
      } else {
        part = this.#unscoped(state);
        if (this.peek() === "I") this.remember(part);
      }
      if (this.peek() !== "I") return { part };
      const args = this.templateArgs();
      if (state !== null) state.args = args;
      return { part: { kind: "template", name: part, args } };
    });
  }

  #unscoped(state: NameState | null): Part {
    if (!this.accept("St")) return this.#unqualified(state, null);
    const name = this.#unqualified(state, null);
    return { kind: "nested", scope: text("std"), name };
  }

  #nested(state: NameState | null): Part {
    const qualifiers = this.#qualifiers();
    const reference = this.accept("R") ? " &" : this.accept("O") ? " &&" : "";
    if (state !== null) state.qualifiers = qualifiers + reference;
    let part: Part | null = null;
    while (!this.accept("E")) {
      if (state !== null) state.args = null;
      // what is a substitution is known already
      const isKnown = part === null && this.peek() === "S";
      part = this.#component(part, state);
      if (this.peek() !== "E" && !isKnown) this.remember(part);
    }
    if (part === null) throw new NotAName();
    return part;
  }

  #component(before: Part | null, state: NameState | null): Part {
    const next = this.peek();
    if (this.accept("M") && before !== null) return before; // initialiser of a member
    if (next === "T" && before === null) return this.templateParam();
    if (next === "I" && before !== null) {
      const args = this.templateArgs();
      if (state !== null) state.args = args;
      return { kind: "template", name: before, args };
    }
    if (next === "D" && /^D[tT]/u.test(this.rest) && before === null) return this.type();
    if (next === "S" && before === null) {
      if (this.accept("St")) return text("std");
      return this.substitution();
    }
    const name = this.#unqualified(state, before);
    return before === null ? name : { kind: "nested", scope: before, name };
  }

  #local(state: NameState | null): Part {
    const scope = this.encoding({ hasResult: false });
    this.expect("E");
    if (this.accept("s")) {
      this.#discriminator();
      return { kind: "nested", scope, name: text("string literal") };
    }
    if (this.accept("d")) {
      const index = this.peek() === "_" ? 1 : this.number() + 2;
      this.expect("_");
      const name = this.name(state).part;
      const argument = text(`{default arg#${index}}`);
      return { kind: "nested", scope, name: { kind: "nested", scope: argument, name } };
    }
    const { part: name } = this.name(state);
    this.#discriminator();
    return { kind: "nested", scope, name };
  }

  #discriminator(): void {
    const match = /^_(?:\d|_\d+_)/u.exec(this.rest);
    if (match !== null) this.at += match[0].length;
  }

  #unqualified(state: NameState | null, scope: Part | null): Part {
    return this.within(() => {
      this.accept("L");
      let part = this.#plain(state, scope);
      while (this.accept("B")) {
        part = { kind: "suffix", part, text: `[abi:${this.sourceName()}]` };
      }
      return part;
    });
  }

  #plain(state: NameState | null, scope: Part | null): Part {
    const next = this.peek();
    if (next >= "0" && next <= "9" && next !== "") return text(shown(this.sourceName()));
    if (this.accept("Ut")) return text(`{unnamed type#${this.#ordinal()}}`);
    if (this.accept("Ul")) return this.#lambda();
    if (this.accept("DC")) {
      const names: Part[] = [];
      while (!this.accept("E")) names.push(text(this.sourceName()));
      return { kind: "sequence", parts: [text("["), { kind: "list", items: names }, text("]")] };
    }
    if (scope !== null && /^(?:CI?[1-5]|D[0-5])/u.test(this.rest))
      return this.#structor(state, scope);
    return this.#operator(state);
  }

  #structor(state: NameState | null, scope: Part): Part {
    if (state !== null) state.isStructor = true;
    const isDestructor = this.peek() === "D";
    this.at += 1;
    const isInherited = this.accept("I");
    this.at += 1;
    if (isInherited) this.type();
    return { kind: "structor", of: scope, isDestructor };
  }

  sourceName(): string {
    const length = this.number();
    const name = this.peek(length);
    if (length === 0 || name.length < length) throw new NotAName();
    this.at += length;
    return name;
  }

  #ordinal(): number {
    const index = this.peek() === "_" ? 1 : this.number() + 2;
    this.expect("_");
    return index;
  }

  #lambda(): Part {
    const params = this.#types();
    this.expect("E");
    const index = this.#ordinal();
    return { kind: "lambda", params, text: `#${index}}` };
  }

  #operator(state: NameState | null): Part {
    if (this.accept("cv")) {
      const type = this.type();
      if (state !== null) state.isStructor = true;
      return { kind: "conversion", type };
    }
    if (this.accept("li")) return text(`operator"" ${this.sourceName()}`);
    const known = OPERATORS.get(this.peek(2));
    if (known === undefined) throw new NotAName();
    this.at += 2;
    const [symbol] = known;
    return text(`operator${/^[a-z]/u.test(symbol) ? " " : ""}${symbol.trimEnd()}`);
  }

  #qualifiers(): string {
    let qualifiers = "";
    if (this.accept("r")) qualifiers = " __restrict";
    if (this.accept("V")) qualifiers = ` volatile${qualifiers}`;
    if (this.accept("K")) qualifiers = ` const${qualifiers}`;
    return qualifiers;
  }

  /** `S_`, `S1A_`, `Sa`...: what was there before. */
  substitution(): Part {
    const known = STANDARD.get(this.peek(2));
    if (known !== undefined) {
      this.at += 2;
      const [full, last] = known;
      let part: Part = { kind: "text", text: full, last };
      while (this.accept("B")) {
        part = { kind: "suffix", part, text: `[abi:${this.sourceName()}]` };
        this.remember(part);
      }
      return part;
    }
    this.expect("S");
    const found = this.#seen[this.#sequence()];
    if (found === undefined) throw new NotAName();
    return found;
  }

  /** `_` is 0, `0_` is 1, in base 36. */
  #sequence(): number {
    const match = /^([\dA-Z]*)_/u.exec(this.rest);
    if (match?.[1] === undefined || match[1].length > 5) throw new NotAName();
    this.at += match[0].length;
    return match[1] === "" ? 0 : Number.parseInt(match[1], 36) + 1;
  }

  templateParam(): Part {
    this.expect("T");
    const index = this.peek() === "_" ? 0 : this.number() + 1;
    this.expect("_");
    return { kind: "param", index };
  }

  templateArgs(): readonly Part[] {
    return this.within(() => {
      this.expect("I");
      const args: Part[] = [];
      while (!this.accept("E")) args.push(this.#templateArg());
      return args;
    });
  }

  #templateArg(): Part {
    return this.within(() => {
      if (this.peek() === "L") return this.literal();
      if (this.accept("X")) {
        const value = this.expression();
        this.expect("E");
        return value;
      }
      if (!this.accept("J") && !this.accept("I")) return this.type();
      const items: Part[] = [];
      while (!this.accept("E")) items.push(this.#templateArg());
      return { kind: "pack", items };
    });
  }

  /** `<type>`. */
  type(): Part {
    return this.within(() => {
      const simple = this.#builtin();
      if (simple !== null) return simple;
      if (this.peek() === "S" && this.peek(2) !== "St") {
        const part = this.substitution();
        if (this.peek() !== "I") return part;
        return this.remember({ kind: "template", name: part, args: this.templateArgs() });
      }
      return this.remember(this.#compound());
    });
  }

  #builtin(): Part | null {
    const one = BUILTIN_TYPES.get(this.peek());
    if (one !== undefined) {
      this.at += 1;
      return text(one);
    }
    const two = D_TYPES.get(this.peek(2));
    if (two === undefined) return null;
    this.at += 2;
    return text(two);
  }

  #compound(): Part {
    const next = this.peek();
    const qualifiers = /^[rVK]/u.test(this.rest) ? this.#qualifiers() : "";
    if (qualifiers !== "") return this.#qualified(qualifiers);
    for (const [code, symbol] of POINTERS) {
      if (this.accept(code)) return { kind: "pointer", type: this.type(), text: symbol };
    }
    if (this.accept("C")) return { kind: "suffix", part: this.type(), text: " _Complex" };
    if (this.accept("u")) return text(this.sourceName());
    if (this.accept("U"))
      return { kind: "suffix", text: ` ${this.sourceName()}`, part: this.type() };
    if (next === "F" || /^D[oOwx]/u.test(this.rest)) return this.#functionType("");
    if (this.accept("A")) return this.#array();
    if (this.accept("M")) {
      const of = this.type();
      return { kind: "member", of, type: this.type() };
    }
    if (next === "T" && !/^T[sue]/u.test(this.rest)) {
      const part = this.templateParam();
      if (this.peek() !== "I") return part;
      this.remember(part);
      return { kind: "template", name: part, args: this.templateArgs() };
    }
    if (this.accept("Dp")) return { kind: "expansion", of: this.type() };
    if (this.accept("Dt") || this.accept("DT")) {
      const value = this.expression();
      this.expect("E");
      return { kind: "sequence", parts: [text("decltype ("), value, text(")")] };
    }
    if (this.accept("Dv")) return this.#vector();
    if (/^T[sue]/u.test(this.rest)) this.at += 2;
    return this.name(null).part;
  }

  /** Of a function type they belong behind its parameters. */
  #qualified(qualifiers: string): Part {
    if (this.peek() === "F" || /^D[oOwx]/u.test(this.rest)) return this.#functionType(qualifiers);
    return { kind: "qualified", type: this.type(), text: qualifiers };
  }

  #functionType(qualifiers: string): Part {
    let suffix = qualifiers;
    if (this.accept("Do")) suffix += " noexcept";
    this.accept("Dx");
    this.expect("F");
    this.accept("Y");
    const result = this.type();
    const params = this.#types();
    if (this.accept("R")) suffix += " &";
    if (this.accept("O")) suffix += " &&";
    this.expect("E");
    return { kind: "function", result, name: null, params, suffix };
  }

  #array(): Part {
    let size: Part | null = null;
    if (/^\d/u.test(this.rest)) size = text(String(this.number()));
    else if (this.peek() !== "_") size = this.expression();
    this.expect("_");
    return { kind: "array", type: this.type(), size };
  }

  #vector(): Part {
    const size = this.accept("_") ? this.expression() : text(String(this.number()));
    this.expect("_");
    const type = this.type();
    return { kind: "sequence", parts: [type, text(" __vector("), size, text(")")] };
  }
}

const POINTERS: readonly (readonly [string, "*" | "&" | "&&"])[] = [
  ["P", "*"],
  ["R", "&"],
  ["O", "&&"],
];

function shown(name: string): string {
  return /^_GLOBAL_[._$]N/u.test(name) ? "(anonymous namespace)" : name;
}
