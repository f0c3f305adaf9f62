/** Reading what an application printed. */

/** The complete lines of a text that are JSON objects, parsed; other lines are skipped. */
export function jsonLines<T>(text: string): T[] {
  const complete = text.slice(0, text.lastIndexOf("\n") + 1);
  return complete
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as T); // The test knows what its application prints.
}
