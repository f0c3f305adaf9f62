/** `holdfast scale`: more workers or fewer. */
import os from "node:os";
import { readCgroupLimits, usableCpuCount } from "../base/mod.ts";
import { executeOperation } from "./operation.ts";
import { usage } from "./parse.ts";
import type { Parsed, World } from "./verb.ts";

export async function execute(parsed: Parsed, world: World): Promise<number> {
  return executeOperation("scale", { workers: wanted(parsed) }, parsed, world);
}

function wanted(parsed: Parsed): number {
  const [text = ""] = parsed.positionals;
  if (text === "max") return usableCpuCount(os.availableParallelism(), readCgroupLimits());
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  const what =
    text === "" ? "no number was given" : `${JSON.stringify(text)} is no number of workers`;
  throw usage({ name: "scale" }, `${what}: holdfast scale 4, or max`);
}
