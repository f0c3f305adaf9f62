/** Expressions of mangled C++ names: arguments of templates, sizes, `decltype`. See demangle.ts. */
import { NotAName } from "./demangle-print.ts";
import type { Part } from "./demangle-print.ts";
import { LITERAL_SUFFIXES, OPERATORS, WORDS } from "./demangle-tables.ts";
import { TypeParser, text } from "./demangle-types.ts";

const CASTS: ReadonlyMap<string, string> = new Map([
  ["sc", "static_cast"],
  ["cc", "const_cast"],
  ["rc", "reinterpret_cast"],
  ["dc", "dynamic_cast"],
]);

export class ExpressionParser extends TypeParser {
  /** `L <type> <value> E`, or `L _Z <encoding> E`. */
  literal(): Part {
    this.expect("L");
    if (this.accept("_Z") || this.accept("Z")) {
      const part = this.encoding();
      this.expect("E");
      return part;
    }
    const type = this.type();
    const match = /^(n?)([\da-f_]*)E/u.exec(this.rest);
    if (match === null) throw new NotAName();
    this.at += match[0].length;
    const [, sign = "", digits = ""] = match;
    const value = `${sign === "n" ? "-" : ""}${digits}`;
    const name = type.kind === "text" ? type.text : "";
    if (name === "bool" && (value === "0" || value === "1")) {
      return text(value === "1" ? "true" : "false");
    }
    const suffix = LITERAL_SUFFIXES.get(name);
    if (suffix !== undefined) return text(`${value}${suffix}`);
    if (name === "decltype(nullptr)" && /^0?$/u.test(value)) {
      return sequence("(", type, `)${value}`);
    }
    const isFloat = /^(?:float|double|long double)$/u.test(name);
    return sequence("(", type, isFloat ? `)[${value}]` : `)${value}`);
  }

  expression(): Part {
    return this.within(() => this.#expression());
  }

  #expression(): Part {
    const code = this.peek(2);
    if (this.peek() === "L") return this.literal();
    if (this.peek() === "T") return this.templateParam();
    if (/^f[pL]/u.test(this.rest)) return this.#parameter();
    if (this.accept("sr")) return this.#scoped();
    if (this.accept("sp")) return { kind: "expansion", of: this.expression() };
    if (this.accept("sZ")) return sequence("sizeof...(", this.expression(), ")");
    if (this.accept("cl")) return this.#call();
    if (this.accept("cv")) return this.#cast();
    if (this.accept("tl")) return this.#braced(this.type());
    if (this.accept("il")) return this.#braced(null);
    if (this.accept("tw")) return sequence("throw ", this.expression());
    if (this.accept("tr")) return text("throw");
    const cast = CASTS.get(code);
    if (cast !== undefined) {
      this.at += 2;
      const type = this.type();
      return sequence(`${cast}<`, type, ">(", this.expression(), ")");
    }
    const word = WORDS.get(code);
    if (word !== undefined) {
      this.at += 2;
      const [before, of] = word;
      return sequence(`${before}(`, of === "type" ? this.type() : this.expression(), ")");
    }
    const operator = OPERATORS.get(code);
    if (operator !== undefined) return this.#operation(code, ...operator);
    return this.#unresolved();
  }

  #operation(code: string, symbol: string, operands: number): Part {
    this.at += 2;
    if (code === "qu") {
      const parts = [this.#operand(), text("?"), this.#operand(), text(" : "), this.#operand()];
      return { kind: "sequence", parts };
    }
    if (code === "nw" || code === "na") throw new NotAName();
    if (operands === 1) {
      this.accept("_");
      // of the address of a function only its name is written
      if (code === "ad" && /^L_?Z/u.test(this.rest)) {
        const part = this.literal();
        const name = part.kind === "function" ? (part.name ?? part) : part;
        return sequence(symbol, name);
      }
      return sequence(symbol, this.#operand());
    }
    if (code === "dt" || code === "pt") {
      const left = this.#operand();
      return sequence(left, symbol, this.#member());
    }
    const left = this.#operand();
    if (code === "ix") return sequence(left, "[", this.expression(), "]");
    const right = this.#operand();
    // the end of a list of template arguments would be seen in it
    if (code === "gt") return sequence("(", left, symbol, right, ")");
    return sequence(left, symbol, right);
  }

  #member(): Part {
    const name = this.#unresolved();
    return name;
  }

  /** In parentheses unless it is a name or a parameter. */
  #operand(): Part {
    const isBare = /^(?:f[pL]|sr|\d|on|dn)/u.test(this.rest);
    const part = this.expression();
    const isName = part.kind === "text" && /^[a-z_]/iu.test(part.text) && isBare;
    return isName || isBare ? part : sequence("(", part, ")");
  }

  #parameter(): Part {
    if (this.accept("fpT")) return text("this");
    const match = /^f(?:p|L\d+p)[rVK]*(\d*)_/u.exec(this.rest);
    if (match === null) throw new NotAName();
    this.at += match[0].length;
    return text(`{parm#${match[1] === "" ? 1 : Number(match[1]) + 2}}`);
  }

  #scoped(): Part {
    const type = this.type();
    return { kind: "nested", scope: type, name: this.#unresolved() };
  }

  #unresolved(): Part {
    this.accept("on");
    const name = this.#simpleName();
    return this.peek() === "I" ? { kind: "template", name, args: this.templateArgs() } : name;
  }

  #simpleName(): Part {
    if (/^\d/u.test(this.rest)) return text(this.sourceName());
    return this.name(null).part;
  }

  #call(): Part {
    const callee = this.#operandOfCall();
    const args: Part[] = [];
    while (!this.accept("E")) args.push(this.expression());
    return {
      kind: "sequence",
      parts: [callee, text("("), { kind: "list", items: args }, text(")")],
    };
  }

  #operandOfCall(): Part {
    const isName = /^(?:sr|\d|on|L_Z|St)/u.test(this.rest);
    const part = this.expression();
    return isName && part.kind === "text" ? part : sequence("(", part, ")");
  }

  #cast(): Part {
    const type = this.type();
    if (!this.accept("_")) return sequence("(", type, ")(", this.expression(), ")");
    const items: Part[] = [];
    while (!this.accept("E")) items.push(this.expression());
    const args: Part = { kind: "list", items };
    return sequence("(", type, ")(", args, ")");
  }

  #braced(type: Part | null): Part {
    const items: Part[] = [];
    while (!this.accept("E")) items.push(this.expression());
    const list = sequence("{", { kind: "list", items }, "}");
    return type === null ? list : sequence(type, list);
  }
}

function sequence(...parts: readonly (Part | string)[]): Part {
  return {
    kind: "sequence",
    parts: parts.map((part) => (typeof part === "string" ? text(part) : part)),
  };
}
