/**
 * Calls what may throw from where an exception would be lost: in a callback of koffi's, which drops
 * it, or before work that must be done all the same. It is thrown from the next tick.
 */
export function throwLater(act: () => void): void {
  try {
    act();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
