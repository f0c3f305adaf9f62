/**
 * Stacks against the truth that the program itself wrote down at that moment: V8's own structured
 * stack trace, and the arguments of its functions. Sixteen frames of many kinds, in every tier.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { readStacks } from "../../src/autopsy/stack/mod.ts";
import type { StackFrame } from "../../src/autopsy/stack/mod.ts";
import { NODES, inPosition, lookAtCore, lookLive, makeCore, program } from "./support/autopsy.ts";
import { startPatient, until } from "./support/autopsy.ts";

interface TrueFrame {
  readonly name: string;
  readonly file: string | null;
  readonly line: number;
  readonly column: number;
  readonly isAsync: boolean;
  readonly isEval: boolean;
}

interface Truth {
  readonly frames: readonly TrueFrame[];
  /** Arguments by function, as strings. */
  readonly given: Readonly<Record<string, readonly string[] | null>>;
}

/** Flags and rounds that bring the program's functions into each tier. */
const TIERS: readonly (readonly [string, readonly string[], number])[] = [
  ["interpreted", ["--no-opt", "--no-sparkplug"], 0],
  ["baseline", ["--always-sparkplug", "--no-opt"], 30],
  ["maglev", ["--maglev", "--no-turbofan"], 3_000],
  ["turbofan", [], 20_000],
];
const APP = program("stacks-truth.cjs");
const WAIT_LINE = readFileSync(APP, "utf8")
  .split("\n")
  .findIndex((line) => line.includes("Atomics.wait(cell"));

function mainFrames(frames: readonly StackFrame[]): readonly StackFrame[] {
  return frames.filter(({ kind }) => kind === "javascript" || kind === "async");
}

/** One line for each frame; the top one has moved on by a line since the truth was taken. */
function shape(frames: readonly StackFrame[]): readonly string[] {
  return frames.map(({ kind, name, location }, index) => {
    const isEval = location?.file.startsWith("<eval") === true;
    const file = isEval ? "eval" : location?.file;
    const place = index === 0 ? "" : `:${location?.line}:${location?.column}`;
    return `${kind === "async" ? "async " : ""}${name} ${file}${place}`;
  });
}

function trueShape(frames: readonly TrueFrame[]): readonly string[] {
  return frames
    .filter(({ file, isEval }) => file !== null || isEval)
    .map(({ name, file, line, column, isAsync, isEval }, index) => {
      const place = index === 0 ? "" : `:${line}:${column}`;
      return `${isAsync ? "async " : ""}${name} ${isEval ? "eval" : file}${place}`;
    });
}

/** `"deep!"` and `"deep" + "!"` are the same text; objects are only looked at for their class. */
function asText(shown: string): string {
  return shown
    .split(" + ")
    .map((part) => part.replaceAll(/^"|"$/gu, ""))
    .join("");
}

function compareArguments(frames: readonly StackFrame[], { given }: Truth): number {
  let known = 0;
  for (const [name, values] of Object.entries(given)) {
    const frame = frames.find((one) => one.name === name);
    for (const [index, value] of (values ?? []).entries()) {
      const shown = frame?.parameters[index];
      assert.ok(shown, `${name} has an argument ${index}`);
      if (shown.text.startsWith("<")) {
        assert.match(shown.text, /^<(?:optimised away|not recoverable)>$/u);
        continue;
      }
      known += 1;
      if (shown.text.startsWith("Array(")) continue;
      assert.equal(asText(shown.text), value, `${name}(${shown.name})`);
    }
  }
  return known;
}

for (const major of NODES.keys()) {
  describe(`stacks of Node ${major} against V8's own`, () => {
    for (const [tier, flags, rounds] of TIERS) {
      it(`${tier}: functions, files, lines, columns and arguments`, async (t) => {
        const patient = startPatient(t, major, (folder) => [
          ...flags,
          APP,
          path.join(folder, "truth.json"),
          String(rounds),
          "wait",
        ]);
        const file = path.join(patient.folder, "truth.json");
        await inPosition(patient, { file });
        // Parsed: the file is whole.
        const truth = JSON.parse(readFileSync(file, "utf8")) as Truth;
        const framesNow = (): readonly StackFrame[] => {
          const { threads } = lookLive(patient.pid, (v8) => readStacks(v8));
          return mainFrames(threads.find(({ tid }) => tid === patient.pid)?.frames ?? []);
        };
        await until("it waits", () => framesNow()[0]?.location?.line === WAIT_LINE + 1);
        const live = framesNow();
        assert.deepEqual(shape(live), trueShape(truth.frames));
        const known = compareArguments(live, truth);
        assert.ok(known >= 12, `${known} of 13 arguments are known`);
        const core = makeCore(patient);
        const dead = lookAtCore(core, (v8) => readStacks(v8));
        const main = dead.threads.find(({ tid }) => tid === patient.pid);
        assert.deepEqual(shape(mainFrames(main?.frames ?? [])), shape(live));
        assert.equal(main?.isComplete, true);
        if (tier === "baseline") assert.ok(live.some((frame) => frame.tier === "baseline"));
        const isOptimised = tier === "turbofan" || (tier === "maglev" && major !== 22);
        if (isOptimised) assert.ok(live.some(({ isInlined }) => isInlined));
      });
    }
  });
}
