/** The worker that stands on the command line of a verb. */
import { usage } from "./parse.ts";
import type { Parsed } from "./verb.ts";

/** The index, or null when none was named. `at`: which positional it is. */
export function workerOf(verb: string, parsed: Parsed, at = 0): number | null {
  const text = parsed.positionals[at];
  if (text === undefined) return null;
  if (/^\d{1,3}$/.test(text)) return Number(text);
  const problem = `${JSON.stringify(text)} is no number of a worker, see \`holdfast status\``;
  throw usage({ name: verb }, problem);
}
