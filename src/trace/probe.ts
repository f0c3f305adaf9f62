/**
 * `import { probe } from "holdfast/trace"`: points of observation in the application's own code.
 * One that nobody listens to costs a load and a comparison.
 *
 * ```
 *   probe("order:placed")  -->  diagnostics channel  holdfast:user:order:placed
 *                          -->  the process's list of probes, for `holdfast probes`
 * ```
 */
import { channel } from "node:diagnostics_channel";
import { USER_CHANNEL_PREFIX, listProbe } from "./user-probes.ts";

export interface ProbeOptions {
  /** One line for `holdfast probes`. */
  readonly meaning?: string;
  /** Names of the arguments, in their order. */
  readonly args?: readonly string[];
}

/** A function to call with what there is to say, and whether anybody would hear it. */
export interface Probe {
  (...args: readonly unknown[]): void;
  /** Whether somebody listens: ask before making an argument that costs something. */
  readonly isEnabled: boolean;
}

const NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,99}$/;

/**
 * Declares a probe. `holdfast trace 'user:order:placed { @[arg0] = count() }'` listens to it. Two
 * of one name are one.
 *
 * @throws TypeError when the name is anything but letters, digits, `_`, `-`, `.` and `:`
 * @example
 * const placed = probe("order:placed", { meaning: "an order was paid", args: ["id", "total"] });
 * placed("o-17", 99.5);
 */
export function probe(name: string, options: ProbeOptions = {}): Probe {
  if (!NAME.test(name)) {
    throw new TypeError(
      `Cannot make a probe named ${JSON.stringify(name)}: a name has letters, digits, _ - . :, ` +
        `begins with a letter and has at most 100 characters.`,
    );
  }
  const { meaning = "", args = [] } = options;
  listProbe({ name, meaning, args: [...args] });
  const point = channel(USER_CHANNEL_PREFIX + name);
  const fire = (...values: readonly unknown[]): void => {
    if (point.hasSubscribers) point.publish(values);
  };
  Object.defineProperty(fire, "isEnabled", { get: () => point.hasSubscribers });
  return fire as Probe; // just made
}
