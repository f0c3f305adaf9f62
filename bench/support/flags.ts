/** Flags of the programs of `bench/`: values are checked at the door, with what is allowed. */

/** A flag or a value that cannot be used. The message is for the user. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * The chosen values of a flag that takes a list: `all`, or names with commas, or given repeatedly.
 * @throws UsageError when a name is not one of `allowed`.
 */
export function choices<T extends string>(
  flag: string,
  given: readonly string[] | undefined,
  allowed: readonly T[],
  byDefault: readonly T[],
): T[] {
  if (given === undefined || given.length === 0) return [...byDefault];
  const names = given.flatMap((each) => each.split(",")).map((name) => name.trim());
  if (names.includes("all")) return [...allowed];
  return names.map((name) => {
    const found = allowed.find((each) => each === name);
    if (found !== undefined) return found;
    throw new UsageError(`--${flag} ${name}: not known; one of ${allowed.join(", ")}, all`);
  });
}

/**
 * A whole number of at least `atLeast`.
 * @throws UsageError when it is something else.
 */
export function countFlag(
  flag: string,
  given: string | undefined,
  byDefault: number,
  atLeast = 1,
): number {
  if (given === undefined) return byDefault;
  const value = Number(given);
  if (Number.isInteger(value) && value >= atLeast) return value;
  throw new UsageError(`--${flag} ${given}: a whole number of at least ${atLeast} is needed`);
}
