/**
 * Verbs on damaged cores, many of them: `node bench/autopsy/fuzz.ts [runs, default 1000] [first
 * seed, default 1] [minutes at most]`. Says after each hundred what came of them, and in the end
 * which verb was slowest and how much memory was needed; exit code 1 when one failed otherwise than
 * with an error of ours. A defect does not end it: all are told, with their seeds.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { inPosition, makeCore, program, startPatient } from "../../test/system/support/autopsy.ts";
import { damage, lookAtDamaged, numbersFrom } from "../../test/system/support/damage.ts";
import type { Outcome } from "../../test/system/support/damage.ts";

const [, , runsText = "1000", firstText = "1", minutesText = "600"] = process.argv;
const runs = Number(runsText);
const first = Number(firstText);
const endsAt = performance.now() + Number(minutesText) * 60_000;
const TELL_EVERY = 100;
const SLOWEST = 5;

const removals: (() => unknown)[] = [];
const patient = startPatient({ after: (does) => removals.push(does as () => unknown) }, 24, [
  program("values.cjs"),
]);
let slowest: Outcome[] = [];
const counts = new Map<string, number>();
let defects = 0;

function note(outcome: Outcome): void {
  const { isDefect, seed, what } = outcome;
  const name = isDefect ? "DEFECT" : outcome.outcome;
  counts.set(name, (counts.get(name) ?? 0) + 1);
  slowest = [...slowest, outcome].toSorted((a, b) => b.tookMs - a.tookMs).slice(0, SLOWEST);
  if (!isDefect) return;
  defects += 1;
  console.log(`DEFECT: ${what}, seed ${seed}: ${outcome.outcome}`);
}

function tell(last: number): void {
  const peak = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(`seeds ${first} to ${last}: ${JSON.stringify(Object.fromEntries(counts))}`);
  console.log(`  ${peak} MiB at most, slowest:`);
  for (const { what, seed, tookMs } of slowest)
    console.log(`  ${Math.round(tookMs)} ms: ${what.replace(/ \/.*/, "")}, seed ${seed}`);
}

try {
  await inPosition(patient, { line: "ready" });
  const core = readFileSync(makeCore(patient));
  patient.child.kill("SIGKILL");
  const place = (name: string): string => path.join(patient.folder, name);
  const outputs = { snapshot: place("s.heapsnapshot"), report: place("r.html") };
  let seed = first;
  for (; seed < first + runs && performance.now() < endsAt; seed += 1) {
    const number = numbersFrom(seed);
    writeFileSync(place("damaged"), damage(core, number));
    await lookAtDamaged(place("damaged"), seed, number, outputs, note);
    if ((seed - first) % TELL_EVERY === TELL_EVERY - 1) tell(seed);
  }
  tell(seed - 1);
} finally {
  for (const remove of removals) remove();
}
process.exitCode = defects > 0 ? 1 : 0;
