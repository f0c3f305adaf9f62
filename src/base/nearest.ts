/** The name that somebody who mistyped probably meant. */

/** A name of at least `LENGTH_MIN` letters may differ in this many; `port` is no typo of `core`. */
const DISTANCE_MAX = 2;
const LENGTH_MIN = 6;
/** Longer texts are no typing error; the table below is quadratic. */
const LENGTH_MAX = 64;

/**
 * The candidate with the smallest edit distance, or null when none is near.
 *
 * @example
 * nearestName("worker", ["workers", "watch"]); // "workers"
 */
export function nearestName(name: string, candidates: Iterable<string>): string | null {
  if (name.length > LENGTH_MAX) return null;
  const distanceMax = name.length < LENGTH_MIN ? 1 : DISTANCE_MAX;
  let nearest: string | null = null;
  let smallest = distanceMax + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance >= smallest) continue;
    smallest = distance;
    nearest = candidate;
  }
  return nearest;
}

/** ` Did you mean "workers"?`, or nothing: to be put behind a sentence. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const nearest = nearestName(name, candidates);
  return nearest === null ? "" : ` Did you mean ${nearest}?`;
}

/**
 * Insertions, deletions, substitutions and swaps of neighbours that make `left` into `right`
 * (optimal string alignment: Boytsov, "Indexing methods for approximate dictionary
 * searching", 2011).
 */
export function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const same = left[row - 1] === right[column - 1];
      let cost = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + (same ? 0 : 1),
      );
      const isSwap = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (row > 1 && column > 1 && isSwap) cost = Math.min(cost, at(beforeLast, column - 2) + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, right.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
