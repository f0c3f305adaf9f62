/** Every verb of autopsy, by name. */
import { HoldfastError, didYouMean } from "../../base/mod.ts";
import { DETAIL_VERBS } from "./detail-verbs.ts";
import { HANDLE_VERBS } from "./handle-verbs.ts";
import { HEAP_VERBS } from "./heap-verbs.ts";
import { HOLDER_VERBS } from "./holder-verbs.ts";
import { PROCESS_VERBS } from "./process-verbs.ts";
import { reportVerb } from "./report-verb.ts";
import { SNAPSHOT_VERBS } from "./snapshot-verb.ts";
import type { AutopsyVerb } from "./verb.ts";
import { WORK_VERBS } from "./work-verbs.ts";

const VERBS: readonly AutopsyVerb[] = [
  ...PROCESS_VERBS,
  ...HEAP_VERBS,
  ...HOLDER_VERBS,
  ...DETAIL_VERBS,
  ...WORK_VERBS,
  ...HANDLE_VERBS,
  ...SNAPSHOT_VERBS,
];

export const AUTOPSY_VERBS: readonly AutopsyVerb[] = [...VERBS, reportVerb(VERBS)];

/** @throws HoldfastError ERR_HOLDFAST_USAGE, naming the nearest verb. */
export function autopsyVerb(name: string, others: readonly string[] = []): AutopsyVerb {
  const found = AUTOPSY_VERBS.find((verb) => verb.name === name);
  if (found !== undefined) return found;
  const names = [...AUTOPSY_VERBS.map((verb) => verb.name), ...others];
  throw new HoldfastError(
    "ERR_HOLDFAST_USAGE",
    `Cannot do ${JSON.stringify(name)}: there is ${names.join(", ")}.${didYouMean(name, names)}`,
  );
}
