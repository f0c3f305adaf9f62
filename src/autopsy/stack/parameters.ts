/**
 * Names of parameters, read from the source of the function: V8 keeps only those of variables that
 * live in a context.
 *
 * The text begins where V8 says the function begins: at the parameter list, or at the single
 * parameter of an arrow function.
 */

/** No parameter list that a person wrote is longer. */
const LIST_CHARS_MAX = 10_000;
const OPENING = "([{";
const CLOSING = ")]}";
const IDENTIFIER = /^(?:\.\.\.)?\s*([\p{ID_Start}$_][\p{ID_Continue}$\u200C\u200D]*)/u;
const ARROW = /^(?:async\s+)?([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=>/u;

export interface Parameter {
  /** As in the source; of a pattern its text, shortened: `{a, b}`. */
  readonly name: string;
  readonly isRest: boolean;
}

/** Skips a string, template, comment or regular expression that begins at `index`. */
function skipToken(text: string, index: number): number {
  const char = text[index];
  if (char === "/" && text[index + 1] === "/") {
    const end = text.indexOf("\n", index);
    return end < 0 ? text.length : end;
  }
  if (char === "/" && text[index + 1] === "*") {
    const end = text.indexOf("*/", index + 2);
    return end < 0 ? text.length : end + 2;
  }
  if (char !== '"' && char !== "'" && char !== "`") return index;
  for (let at = index + 1; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === char) return at + 1;
  }
  return text.length;
}

/** The parts of a list in parentheses, split at its commas, and where the list ends. */
function splitList(text: string): { readonly parts: readonly string[]; readonly end: number } {
  const parts: string[] = [];
  let part = "";
  let depth = 0;
  let at = 0;
  for (; at < text.length; at += 1) {
    const skipped = skipToken(text, at);
    if (skipped > at) {
      if (text[at] !== "/") part += text.slice(at, skipped);
      at = skipped - 1;
      continue;
    }
    const char = text[at] ?? "";
    if (OPENING.includes(char)) depth += 1;
    if (CLOSING.includes(char)) depth -= 1;
    if (depth === 0) break;
    if (depth === 1 && char === ",") {
      parts.push(part);
      part = "";
    } else if (!(depth === 1 && char === "(" && part === "" && parts.length === 0)) part += char;
  }
  if (part.trim() !== "") parts.push(part);
  return { parts: parts.map((one) => one.trim()), end: at + 1 };
}

/**
 * @param source of the script
 * @param start where the function begins, as V8 has it
 */
export function parametersAt(source: string, start: number): readonly Parameter[] {
  return signatureAt(source, start).parameters;
}

/** The same, and where the list ends in the source. */
export function signatureAt(
  source: string,
  start: number,
): { readonly parameters: readonly Parameter[]; readonly end: number } {
  const text = source.slice(start, start + LIST_CHARS_MAX);
  const arrow = ARROW.exec(text);
  if (arrow?.[1] !== undefined) {
    return { parameters: [{ name: arrow[1], isRest: false }], end: start + arrow[0].length };
  }
  const open = text.indexOf("(");
  if (open < 0) return { parameters: [], end: start };
  const { parts, end } = splitList(text.slice(open));
  const parameters = parts.map((part, index) => {
    const name = IDENTIFIER.exec(part)?.[1];
    const isRest = part.startsWith("...");
    if (name !== undefined) return { name, isRest };
    const pattern = part.replace(/^\.\.\./u, "").replaceAll(/\s+/gu, " ");
    const isShort = pattern.length > 0 && pattern.length <= 40;
    return { name: isShort ? pattern : `argument ${index + 1}`, isRest };
  });
  return { parameters, end: start + open + end };
}

/**
 * Whether the function may give the parameter another value: the one that was passed is not sure.
 */
export function mayAssign(body: string, name: string): boolean {
  const escaped = name.replaceAll("$", String.raw`\$`);
  const assign = String.raw`(?:[-+*/%&|^]|\*\*|<<|>>>?|&&|\|\||\?\?)?=(?![=>])`;
  const before = String.raw`(?<![\p{ID_Continue}$.])`;
  const after = String.raw`(?![\p{ID_Continue}$])`;
  const word = `${before}${escaped}${after}`;
  const patterns = [`${word}\\s*${assign}`, `${word}\\s*(?:\\+\\+|--)`, `(?:\\+\\+|--)\\s*${word}`];
  return (
    patterns.some((pattern) => new RegExp(pattern, "u").test(body)) ||
    /\barguments\b|\beval\b/u.test(body) ||
    new RegExp(String.raw`[\[{,:]\s*${escaped}\s*[\]},=][^;]*=(?![=>])`, "u").test(body)
  );
}
