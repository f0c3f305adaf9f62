/** Structural comparison of two pieces of plain data, as a list of what differs where. */

/** Lines such as `env.A: "1" -> missing`; arrays are compared as a whole. */
export function differences(before: unknown, after: unknown, path = ""): string[] {
  if (isRecord(before) && isRecord(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => {
      return differences(before[key], after[key], path === "" ? key : `${path}.${key}`);
    });
  }
  if (Array.isArray(before) && Array.isArray(after)) return listDifferences(before, after, path);
  return show(before) === show(after) ? [] : [`${path}: ${show(before)} -> ${show(after)}`];
}

/** The items that only one of two lists has; an order alone is one difference of its own. */
function listDifferences(before: unknown[], after: unknown[], path: string): string[] {
  const left = after.map(show);
  const lines: string[] = [];
  for (const item of before.map(show)) {
    const index = left.indexOf(item);
    if (index < 0) lines.push(`${path}[]: ${item} -> missing`);
    else left.splice(index, 1);
  }
  lines.push(...left.map((item) => `${path}[]: missing -> ${item}`));
  if (lines.length === 0 && show(before) !== show(after)) lines.push(`${path}: another order`);
  return lines;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value);
}

/** What may differ: a pattern for the line, and the reason. */
export type Allowed = readonly (readonly [pattern: RegExp, reason: string])[];

/** The differences that no entry of the table allows. */
export function unexpected(lines: readonly string[], allowed: Allowed): string[] {
  return lines.filter((line) => !allowed.some(([pattern]) => pattern.test(line)));
}
