/**
 * Names of Rust functions (of Temporal, in Node 26) in the older scheme, which looks like a nested
 * C++ name and ends in a hash: `_ZN 4core 3fmt ... 17h0123456789abcdef E`.
 */

const SHAPE = /^_ZN((?:\d+\S+)?)17(h[\da-f]{16})E(?:\.\w+)*$/u;
/** What the compiler writes for characters that no symbol may have. */
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["SP", "@"],
  ["BP", "*"],
  ["RF", "&"],
  ["LT", "<"],
  ["GT", ">"],
  ["LP", "("],
  ["RP", ")"],
  ["C", ","],
]);

/** Null: it is none. */
export function demangleRust(symbol: string): string | null {
  const match = SHAPE.exec(symbol);
  if (match === null) return null;
  const [, path = "", hash = ""] = match;
  const names: string[] = [];
  for (let rest = path; rest !== "";) {
    const digits = /^\d+/u.exec(rest)?.[0] ?? "";
    const name = rest.slice(digits.length, digits.length + Number(digits));
    if (digits === "" || name === "" || name.length < Number(digits)) return null;
    names.push(plain(name));
    rest = rest.slice(digits.length + name.length);
  }
  return [...names, hash].join("::");
}

function plain(name: string): string {
  return name
    .replace(/^_(?=\$)/u, "")
    .replaceAll(/\$(u[\da-f]{1,5}|[A-Z]{1,2})\$/gu, (whole, code: string) => {
      if (!code.startsWith("u")) return ESCAPES.get(code) ?? whole;
      const point = Number.parseInt(code.slice(1), 16);
      return point >= 0x20 && point < 0x7f ? String.fromCodePoint(point) : whole;
    })
    .replaceAll("..", "::");
}
