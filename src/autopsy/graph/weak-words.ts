/** Words that keep nothing alive although they are no weak references by their bits. */
import type { Layout } from "../v8/layout.ts";

/** Offsets, by the instance type; all other words of such an object are strong. */
export type WeakWords = ReadonlyMap<number, readonly number[]>;

/** Of a WeakRef its target; of what a FinalizationRegistry watches the object and the token. */
export function weakWordsOf(layout: Layout): WeakWords {
  const { weakRefTarget, weakCellTarget, weakCellToken } = layout.stated;
  return new Map([
    [layout.findType("JS_WEAK_REF_TYPE") ?? -1, [weakRefTarget]],
    [layout.findType("WEAK_CELL_TYPE") ?? -1, [weakCellTarget, weakCellToken]],
  ]);
}
