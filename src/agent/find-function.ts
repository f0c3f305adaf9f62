/** Where a function is in a text, by its name: what no object holds has no other address. */

/** Ways to write one, up to its parameters, and what follows those. `NAME` is put in. */
const FUNCTION_FORMS: readonly (readonly [form: string, behind: RegExp])[] = [
  [String.raw`\bfunction\s*\*?\s*NAME\s*\(`, /^\s*\{/],
  [String.raw`\b(?:const|let|var)\s+NAME\s*=\s*(?:async\s*)?function\b[^(]{0,80}\(`, /^\s*\{/],
  [String.raw`\b(?:const|let|var)\s+NAME\s*=\s*(?:async\s*)?\(`, /^\s*=>/],
];
/** Those of members, also behind another one on the same line. */
const MEMBER_FORMS: typeof FUNCTION_FORMS = [
  [String.raw`(?:^|[{};,])\s*(?:(?:static|async)\s+)*\*?NAME\s*\(`, /^\s*\{/],
  [String.raw`(?:^|[\s.{},;])NAME\s*[:=]\s*(?:async\s*)?function\b[^(]{0,80}\(`, /^\s*\{/],
  [String.raw`(?:^|[\s.{},;])NAME\s*[:=]\s*(?:async\s*)?\(`, /^\s*=>/],
];
/** What looks like a method, and is none. */
const STATEMENTS: readonly string[] = ["if", "for", "while", "switch", "catch", "with"];

export interface FoundFunction {
  /** The beginning of its code, from 0. */
  readonly line: number;
  readonly column: number;
  /** An expression, evaluated there: its arguments as an array. */
  readonly values: string;
}

/**
 * See the file's docstring.
 *
 * @param isMember of a class or an object: its methods come first, else the functions of the module
 * @returns a text where there is none, or several
 * @example
 * findFunction("function a(b) { return b }", "a"); // { line: 0, column: 13, values: ... }
 */
export function findFunction(
  source: string,
  name: string,
  isMember = false,
): FoundFunction | string {
  const forms = isMember ? [MEMBER_FORMS, FUNCTION_FORMS] : [FUNCTION_FORMS, MEMBER_FORMS];
  const found = forms.map((each) => placesOf(source, name, each));
  const places = found.find(({ length }) => length > 0) ?? [];
  const [place, ...others] = places;
  if (place === undefined) return `there is no function ${name} in the file`;
  if (others.length > 0) return `there are ${places.length} functions ${name} in the file`;
  const { open, close } = place;
  // what breaks first behind them is in the function; the arrow itself is not its code
  const [arrow = ""] = /^\s*=>/.exec(behindOf(source, close)) ?? [];
  const before = source.slice(0, close + 1 + arrow.length).split("\n");
  const names = namesIn(source.slice(open, close));
  const values = arrow === "" ? "[...arguments]" : `[${names.join(", ")}]`;
  return { line: before.length - 1, column: before.at(-1)?.length ?? 0, values };
}

function placesOf(
  source: string,
  name: string,
  forms: typeof FUNCTION_FORMS,
): readonly { readonly open: number; readonly close: number }[] {
  if (STATEMENTS.includes(name)) return [];
  const escaped = name.replaceAll("$", String.raw`\$`);
  return forms.flatMap(([form, behind]) => {
    const pattern = new RegExp(
      form.replace("NAME", () => escaped),
      "gm",
    );
    return [...source.matchAll(pattern)].flatMap((match) => {
      const open = match.index + match[0].length;
      const close = closing(source, open);
      return close >= 0 && behind.test(behindOf(source, close)) ? [{ open, close }] : [];
    });
  });
}

function behindOf(source: string, close: number): string {
  return source.slice(close + 1, close + 100);
}

/** The parenthesis that closes one, with texts in between that have none; -1: nothing does. */
function closing(source: string, from: number): number {
  let depth = 1;
  for (let at = from; at < source.length; at += 1) {
    if (source[at] === "(") depth += 1;
    else if (source[at] === ")") depth -= 1;
    if (depth === 0) return at;
  }
  return -1;
}

/** Plain names; one that is taken apart has none. */
function namesIn(parameters: string): readonly string[] {
  if (/[{[(]/.test(parameters)) return [];
  return parameters
    .split(",")
    .map((each) => each.replace(/=.*/s, "").trim())
    .filter((each) => /^[\w$]+$/.test(each));
}
