/**
 * C++ names as binutils' c++filt writes them (Itanium C++ ABI, chapter 5). A recursive descent over
 * the mangled name makes a tree, which demangle-print.ts writes. Any text may come in: what is no
 * name, or is too deep or too long, comes out as it is.
 *
 * ```
 *   _Z  N 4node 11Environment 5StartE  P c                 node::Environment::Start(char*)
 *       name                           types of parameters
 *   S_, S0_ ... what was named before    T_, T0_ ... arguments of the template around it
 * ```
 */
import { ExpressionParser } from "./demangle-expressions.ts";
import { NotAName, Printer } from "./demangle-print.ts";
import type { Part } from "./demangle-print.ts";
import { demangleRust } from "./demangle-rust.ts";

/** The longest name of a node binary has some 5,000 characters. */
const SYMBOL_CHARS_MAX = 16_384;

/**
 * A name for people; a name that is not mangled, as it is.
 * @param areParametersShown with the types of the parameters, and of the result where it is said
 */
export function demangle(symbol: string, areParametersShown: boolean): string {
  if (!symbol.startsWith("_Z") || symbol.length > SYMBOL_CHARS_MAX) return symbol;
  const rust = demangleRust(symbol);
  if (rust !== null) return rust;
  // name@VERSION, of a library's
  const [mangled = "", ...version] = symbol.split(/(?=@)/u);
  try {
    const parser = new Demangler(mangled);
    return new Printer().print(parser.mangledName(areParametersShown)) + version.join("");
  } catch (error) {
    if (error instanceof NotAName) return symbol;
    throw error;
  }
}

const CLONE = /^\.(?:[a-z_]+(?:\.\d+)*|\d+)/u;

class Demangler extends ExpressionParser {
  mangledName(areParametersShown: boolean): Part {
    this.expect("_Z");
    if (!areParametersShown && !/^[GT]/u.test(this.rest)) return this.name({}).part;
    let part = this.encoding();
    for (let clone = CLONE.exec(this.rest); clone !== null; clone = CLONE.exec(this.rest)) {
      this.at += clone[0].length;
      part = { kind: "suffix", part, text: ` [clone ${clone[0]}]` };
    }
    if (this.rest !== "") throw new NotAName();
    return part;
  }
}
