/** Where a file is to be written: beside its name first, and then in its place. */
import { statSync } from "node:fs";
import { HoldfastError } from "../../base/mod.ts";

/**
 * Refuses what is there and is no file: a device, a pipe or a directory would be replaced by one.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE
 */
export function refuseSpecial(path: string): void {
  const known = statSync(path, { throwIfNoEntry: false });
  if (known === undefined || known.isFile()) return;
  const what = known.isDirectory() ? "a directory" : "a device, a pipe or a socket";
  throw new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_WRITE",
    `Cannot write ${path}: it is ${what}, and stays that. Name a file with -o.`,
  );
}
