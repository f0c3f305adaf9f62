/**
 * Damaged cores: bit flips, garbage, cuts. Every verb ends, with a result or with an error of ours;
 * none throws anything else, and none runs for ever.
 */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import type { TestContext } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { HoldfastError } from "../../src/base/mod.ts";
import { inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

/**
 * AUTOPSY_FUZZ_RUNS=1000 AUTOPSY_FUZZ_SEED=1: so many from this seed on. Without: a few that are
 * always the same, and a few others each time, whose seed is printed.
 */
const RUNS = Number(process.env["AUTOPSY_FUZZ_RUNS"] ?? 2);
const SEEDS =
  process.env["AUTOPSY_FUZZ_SEED"] === undefined
    ? [1_000, Math.floor(Math.random() * 2 ** 31)]
    : [Number(process.env["AUTOPSY_FUZZ_SEED"])];
/** Far above what a verb takes here: seconds mean that something does not end. */
const VERB_LIMIT_MS = 60_000;
/** A core of 10 MB needs a third of it. */
const MEMORY_BYTES_MAX = 1024 * 1024 * 1024;
/** Of all verbs, so many by chance on each core: all of them take three times as long. */
const VERBS_EACH = 6;
const PROGRESS_EVERY = 50;

const SNAPSHOT = path.join(tmpdir(), `autopsy-fuzz-${process.pid}.heapsnapshot`);
const REPORT = path.join(tmpdir(), `autopsy-fuzz-${process.pid}.html`);

const EXPRESSIONS: readonly string[] = [
  "info",
  "stacks --all --full",
  "threads",
  "env",
  "args",
  "objects --shapes --limit 0",
  "objects --live",
  "find Account | print --depth 4",
  "find Map --limit 3 | print --depth 3",
  "find --property name --limit 5 | refs",
  "find Account --limit 1 | why",
  "strings --limit 5",
  "closures --limit 5",
  "asyncs --internal",
  "promises --all",
  "requests --all",
  "handles",
  "modules --internal --limit 5",
  `snapshot -o ${SNAPSHOT}`,
  `report -o ${REPORT}`,
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

interface Tally {
  readonly outcomes: Map<string, number>;
  slowestMs: number;
  slowest: string;
}

for (const first of SEEDS) {
  it(`verbs end on ${RUNS} damaged cores, seed ${first}`, async (t) => {
    t.after(() => [SNAPSHOT, REPORT].forEach((file) => rmSync(file, { force: true })));
    const patient = startPatient(t, 24, [program("values.cjs")]);
    await inPosition(patient, { line: "ready" });
    const core = readFileSync(makeCore(patient));
    patient.child.kill("SIGKILL");
    const file = path.join(patient.folder, "damaged");
    const tally: Tally = { outcomes: new Map(), slowestMs: 0, slowest: "" };
    for (let seed = first; seed < first + RUNS; seed += 1) {
      const number = numbersFrom(seed);
      writeFileSync(file, damage(core, number));
      await lookAt(file, seed, number, tally);
      if ((seed - first) % PROGRESS_EVERY === PROGRESS_EVERY - 1) tell(t, tally, seed);
    }
    tell(t, tally, first + RUNS - 1);
    assert.ok(tally.outcomes.size > 0);
  });
}

function tell(t: TestContext, { outcomes, slowest, slowestMs }: Tally, seed: number): void {
  const peak = process.resourceUsage().maxRSS * 1024;
  const all = JSON.stringify(Object.fromEntries(outcomes));
  const memory = `${Math.round(peak / 2 ** 20)} MiB at most`;
  t.diagnostic(`to seed ${seed}: ${all}, ${memory}, ${Math.round(slowestMs)} ms: ${slowest}`);
  assert.ok(peak < MEMORY_BYTES_MAX, `${memory}, to seed ${seed}`);
}

/** Notes what came of some verbs: `ok`, or the code of an error. */
async function lookAt(
  file: string,
  seed: number,
  number: (below: number) => number,
  tally: Tally,
): Promise<void> {
  const note = async (what: string, does: () => Promise<unknown>): Promise<boolean> => {
    const started = performance.now();
    let outcome = "ok";
    try {
      await does();
    } catch (error) {
      outcome = codeOf(error, `${what}, seed ${seed}`);
    }
    const took = performance.now() - started;
    tally.outcomes.set(outcome, (tally.outcomes.get(outcome) ?? 0) + 1);
    if (took > tally.slowestMs) {
      tally.slowestMs = took;
      tally.slowest = `${what}, seed ${seed}`;
    }
    assert.ok(took < VERB_LIMIT_MS, `${what}, seed ${seed} takes too long`);
    return outcome === "ok";
  };
  let session: Session | undefined;
  await note("open", async () => {
    session = await Session.open(file, { node: null, tracer: null, environment: process.env });
  });
  if (session === undefined) return;
  const opened = session;
  try {
    const left = [...EXPRESSIONS];
    for (let count = 0; count < VERBS_EACH; count += 1) {
      const [expression = "info"] = left.splice(number(left.length), 1);
      if (expression.startsWith("report")) rmSync(REPORT, { force: true });
      await note(expression, () => runExpression(opened, parseExpression(expression), undefined));
    }
  } finally {
    opened.close();
  }
}

function codeOf(error: unknown, what: string): string {
  if (error instanceof HoldfastError) return error.code;
  throw new Error(`${what}: ${String(error)}`, { cause: error });
}
