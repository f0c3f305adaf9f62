/**
 * Cores with damage, by numbers of chance that are the same for the same seed; and a look at one of
 * them with some verbs, which must end with a result or an error of ours.
 */
import { rmSync } from "node:fs";
import { Session, parseExpression, runExpression } from "../../../src/autopsy/mod.ts";
import { HoldfastError } from "../../../src/base/mod.ts";

/** Of all verbs, so many by chance on each core: all of them take three times as long. */
const VERBS_EACH = 6;

/** Numbers by chance, the same for the same seed (mulberry32). */
export function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** A copy of a core: cut off, or with flipped bits, garbage, or lies in its headers. */
export function damage(core: Buffer, number: (below: number) => number): Buffer {
  const bytes = Buffer.from(core);
  const kind = number(4);
  if (kind === 0) return bytes.subarray(0, number(bytes.length));
  // the beginning has the headers: damaged now and then, else nothing would be reached behind it
  const from = kind === 1 ? 0 : 64 * 1024;
  const count = kind === 3 ? 2_000 : 1 + number(200);
  for (let index = 0; index < count; index += 1) {
    const at = from + number(Math.max(1, (kind === 1 ? 4_096 : bytes.length) - from));
    if (kind === 2) bytes.fill(number(256), at, Math.min(at + number(512), bytes.length));
    else bytes[at] = (bytes[at] ?? 0) ^ (1 << number(8));
  }
  return bytes;
}

/** What came of one verb. */
export interface Outcome {
  readonly seed: number;
  readonly what: string;
  /** `ok`, the code of an error of ours, or the text of another error: a defect. */
  readonly outcome: string;
  readonly isDefect: boolean;
  readonly tookMs: number;
}

/** Files that verbs write to. */
export interface OutputFiles {
  readonly snapshot: string;
  readonly report: string;
}

function expressions({ snapshot, report }: OutputFiles): string[] {
  return [
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
    "frames --limit 0",
    "find Map --limit 3 | members",
    "closures --limit 5 | source",
    "code 401000 7f0000000000",
    `snapshot -o ${snapshot}`,
    `report -o ${report}`,
  ];
}

/** Opens a damaged core and runs some verbs on it. */
export async function lookAtDamaged(
  file: string,
  seed: number,
  number: (below: number) => number,
  outputs: OutputFiles,
  note: (outcome: Outcome) => void,
): Promise<void> {
  const noted = async (what: string, does: () => Promise<unknown>): Promise<void> => {
    const started = performance.now();
    let [outcome, isDefect] = ["ok", false];
    try {
      await does();
    } catch (error) {
      isDefect = !(error instanceof HoldfastError);
      outcome = error instanceof HoldfastError ? error.code : stackOf(error);
    }
    note({ seed, what, outcome, isDefect, tookMs: performance.now() - started });
  };
  let session: Session | undefined;
  await noted("open", async () => {
    session = await Session.open(file, { node: null, tracer: null, environment: process.env });
  });
  if (session === undefined) return;
  const opened = session;
  try {
    const left = expressions(outputs);
    for (let count = 0; count < VERBS_EACH; count += 1) {
      const [expression = "info"] = left.splice(number(left.length), 1);
      if (expression.startsWith("report")) rmSync(outputs.report, { force: true });
      await noted(expression, () => runExpression(opened, parseExpression(expression), undefined));
    }
  } finally {
    opened.close();
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
