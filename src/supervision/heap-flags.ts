/** A worker's heap limit as flags of node. */

const MIB: number = 1024 * 1024;
/** V8's own young generation is left alone from here on: 16 to 64 MiB a semi-space, by version. */
const DEFAULT_YOUNG_FROM_BYTES: number = 1024 * MIB;
/**
 * Of the heap, for each of the three semi-spaces of the young generation (v8 `Heap::Configure`).
 */
const SEMI_SPACE_FRACTION: number = 1 / 32;
const SEMI_SPACE_MIB_MAX = 16;
/** What V8 adds to --max-old-space-size for the young generation, at most (Node 24: 3 x 64 MiB). */
const DEFAULT_YOUNG_BYTES: number = 192 * MIB;
/** V8 does not start with less. */
const OLD_SPACE_MIB_MIN = 8;

const SIZE_FLAG = /^--max[-_](?:old[-_]space|semi[-_]space|heap)[-_]size/;

/**
 * Flags that bound old and young generation together. None when the user has set a size, in
 * `nodeArgs` or NODE_OPTIONS, or when `heapLimitBytes` is 0.
 *
 * `--max-old-space-size` alone leaves a young generation of up to 192 MiB beside it, more than a
 * small container has.
 */
export function heapFlags(
  heapLimitBytes: number,
  nodeArgs: readonly string[],
  nodeOptions: string,
): readonly string[] {
  const given = [...nodeArgs, ...nodeOptions.split(/\s+/)];
  if (heapLimitBytes <= 0 || given.some((flag) => SIZE_FLAG.test(flag))) return [];
  if (heapLimitBytes >= DEFAULT_YOUNG_FROM_BYTES) {
    return [`--max-old-space-size=${Math.floor((heapLimitBytes - DEFAULT_YOUNG_BYTES) / MIB)}`];
  }
  const wanted = Math.floor((heapLimitBytes * SEMI_SPACE_FRACTION) / MIB);
  const semiSpace = 2 ** Math.floor(Math.log2(Math.min(SEMI_SPACE_MIB_MAX, Math.max(1, wanted))));
  const oldSpace = Math.max(OLD_SPACE_MIB_MIN, Math.floor(heapLimitBytes / MIB) - 3 * semiSpace);
  return [`--max-old-space-size=${oldSpace}`, `--max-semi-space-size=${semiSpace}`];
}
