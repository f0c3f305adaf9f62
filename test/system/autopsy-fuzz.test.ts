/**
 * Damaged cores: bit flips, garbage, cuts. Every verb ends, with a result or with an error of ours;
 * none throws anything else, and none runs for ever. `bench/autopsy/fuzz.ts` does it 1,000 times.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { it } from "node:test";
import { inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";
import { damage, lookAtDamaged, numbersFrom } from "./support/damage.ts";
import type { Outcome } from "./support/damage.ts";

/** Some that are always the same, and some others each time, whose seed is printed. */
const RUNS = 2;
const SEEDS = [1_000, Math.floor(Math.random() * 2 ** 31)];
/** Far above what a verb takes here: seconds mean that something does not end. */
const VERB_LIMIT_MS = 60_000;
/** A core of 10 MB needs a third of it. */
const MEMORY_BYTES_MAX = 1024 * 1024 * 1024;

for (const first of SEEDS) {
  it(`verbs end on ${RUNS} damaged cores, seed ${first}`, async (t) => {
    const patient = startPatient(t, 24, [program("values.cjs")]);
    await inPosition(patient, { line: "ready" });
    const core = readFileSync(makeCore(patient));
    patient.child.kill("SIGKILL");
    const place = (name: string): string => path.join(patient.folder, name);
    const outputs = { snapshot: place("s.heapsnapshot"), report: place("r.html") };
    const outcomes: Outcome[] = [];
    for (let seed = first; seed < first + RUNS; seed += 1) {
      const number = numbersFrom(seed);
      writeFileSync(place("damaged"), damage(core, number));
      await lookAtDamaged(place("damaged"), seed, number, outputs, (each) => outcomes.push(each));
    }
    for (const { what, seed, outcome, isDefect, tookMs } of outcomes) {
      assert.ok(!isDefect, `${what}, seed ${seed}: ${outcome}`);
      assert.ok(tookMs < VERB_LIMIT_MS, `${what}, seed ${seed} takes too long`);
    }
    const peak = process.resourceUsage().maxRSS * 1024;
    t.diagnostic(`${outcomes.length} verbs, ${Math.round(peak / 2 ** 20)} MiB at most`);
    assert.ok(outcomes.length >= RUNS && peak < MEMORY_BYTES_MAX);
  });
}
