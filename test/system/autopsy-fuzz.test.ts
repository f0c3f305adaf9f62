/**
 * Damaged cores: bit flips, garbage, cuts. Every verb ends, with a result or with an error of ours;
 * none throws anything else, and none runs for ever.
 */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { HoldfastError } from "../../src/base/mod.ts";
import { inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

/** More of them, and others: AUTOPSY_FUZZ_RUNS=1000 AUTOPSY_FUZZ_SEED=... */
const RUNS = Number(process.env["AUTOPSY_FUZZ_RUNS"] ?? 4);
const SEED = Number(process.env["AUTOPSY_FUZZ_SEED"] ?? 1_000);
/** Far above what a verb takes here: seconds mean that something does not end. */
const VERB_LIMIT_MS = 60_000;

const SNAPSHOT = path.join(tmpdir(), `autopsy-fuzz-${process.pid}.heapsnapshot`);

const EXPRESSIONS: readonly string[] = [
  "info",
  "stacks --all --full",
  "threads",
  "env",
  "args",
  "objects --shapes --limit 0",
  "find Account | print --depth 4",
  "find Map --limit 3 | print --depth 3",
  "find --property name --limit 5 | refs",
  "find Account --limit 1 | why",
  "strings --limit 5",
  "closures --limit 5",
  "asyncs --internal",
  "promises --all",
  "requests --all",
  "modules --internal --limit 5",
  `snapshot -o ${SNAPSHOT}`,
];

/** Numbers by chance, the same for the same seed (mulberry32). */
function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

function damage(core: Buffer, number: (below: number) => number): Buffer {
  const bytes = Buffer.from(core);
  const kind = number(4);
  if (kind === 0) return bytes.subarray(0, number(bytes.length));
  // the beginning has the headers: damaged now and then, else nothing would be reached behind it
  const from = kind === 1 ? 0 : 64 * 1024;
  const count = kind === 3 ? 2_000 : 1 + number(200);
  for (let index = 0; index < count; index += 1) {
    const at = from + number(Math.max(1, (kind === 1 ? 4_096 : bytes.length) - from));
    if (kind === 2) bytes.fill(number(256), at, at + number(512));
    else bytes[at] = (bytes[at] ?? 0) ^ (1 << number(8));
  }
  return bytes;
}

it(`every verb ends on ${RUNS} damaged cores, seed ${SEED}`, async (t) => {
  t.after(() => rmSync(SNAPSHOT, { force: true }));
  const patient = startPatient(t, 24, [program("values.cjs")]);
  await inPosition(patient, { line: "ready" });
  const core = readFileSync(makeCore(patient));
  const file = path.join(patient.folder, "damaged");
  const outcomes = new Map<string, number>();
  for (let index = 0; index < RUNS; index += 1) {
    const seed = SEED + index;
    writeFileSync(file, damage(core, numbersFrom(seed)));
    for (const outcome of await lookAt(file, seed)) {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  }
  t.diagnostic(JSON.stringify(Object.fromEntries(outcomes)));
  assert.ok(outcomes.size > 0);
});

/** What came of each verb: `ok`, or the code of an error. */
async function lookAt(file: string, seed: number): Promise<readonly string[]> {
  let session: Session;
  try {
    session = await Session.open(file, { node: null, tracer: null, environment: process.env });
  } catch (error) {
    return [codeOf(error, `open, seed ${seed}`)];
  }
  const outcomes: string[] = [];
  try {
    for (const expression of EXPRESSIONS) {
      const started = performance.now();
      const what = `${expression}, seed ${seed}`;
      try {
        await runExpression(session, parseExpression(expression), undefined);
        outcomes.push("ok");
      } catch (error) {
        outcomes.push(codeOf(error, what));
      }
      assert.ok(performance.now() - started < VERB_LIMIT_MS, `${what} takes too long`);
    }
  } finally {
    session.close();
  }
  return outcomes;
}

function codeOf(error: unknown, what: string): string {
  if (error instanceof HoldfastError) return error.code;
  throw new Error(`${what}: ${String(error)}`, { cause: error });
}
