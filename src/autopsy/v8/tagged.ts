/**
 * Tagged values as plain numbers, without an allocation for each: a heap object is the address of
 * its
 * first byte (0 or more), a small integer lies below all addresses.
 *
 * ```
 *   word in memory         Tagged
 *   ....xx01 (pointer)     address, tag taken off
 *   ....xx11 (weak)        the same; a cleared one is CLEARED
 *   n << 32               SMI_BASE + n
 * ```
 * Node is built without pointer compression: a tagged value is a 64-bit word, a Smi its upper half.
 */

/** A small integer or the address of a heap object; see above. */
export type Tagged = number;

const SMI_BASE = -(2 ** 40);
/** A weak reference whose object is gone, or a word that is not there. */
export const CLEARED: Tagged = 0;

export function isSmi(value: Tagged): boolean {
  return value < 0;
}

/** @param value one for which `isSmi` is true */
export function smiValue(value: Tagged): number {
  return value - SMI_BASE;
}

export function smi(value: number): Tagged {
  return value + SMI_BASE;
}

/** From the two halves of a word. */
export function taggedFromHalves(low: number, high: number): Tagged {
  if ((low & 1) === 0) return (high | 0) + SMI_BASE;
  if (high === 0 && low === 3) return CLEARED;
  return (high >>> 0) * 0x1_0000_0000 + ((low & ~3) >>> 0);
}

/**
 * Whether the first word of an object is no map but where it has moved, by the lower half: an
 * address without a tag, which no Smi looks like.
 */
export function isMovedTo(low: number): boolean {
  return low !== 0 && (low & 7) === 0;
}
