/**
 * A program that listens on nothing ends under `holdfast run` as it does under plain node: same
 * output, byte for byte, and same exit code; an end by signal is 128 + its number, as in a shell.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import os from "node:os";
import { describe, it } from "node:test";
import { comparableStderr, runOnce, runPlain } from "./support/once.ts";
import type { OnceOptions } from "./support/once.ts";
import { app, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";

interface Case extends OnceOptions {
  readonly script: string;
  /** What plain node's exit code is: asserted too, so that the comparison compares something. */
  readonly code: number;
}

/** Of `%GetOptimizationStatus` (V8, src/runtime/runtime.h): no optimizing compiler is on. */
const MAYBE_NEVER_OPTIMIZED = 2;

const cases: Record<string, Case> = {
  "arguments and both outputs": { script: "ok.cjs", args: ["a", "--b", "c d", ""], code: 0 },
  "process.exit(3)": { script: "exit-3.cjs", code: 3 },
  "process.exitCode": { script: "exit-code.cjs", code: 4 },
  "a throw": { script: "throw.cjs", code: 1 },
  "a throw in a module": { script: "throw.mjs", code: 1 },
  "a throw in a timer": { script: "throw-later.cjs", code: 1 },
  "an unhandled rejection": { script: "rejection.cjs", code: 1 },
  "a top-level await that never settles": { script: "never-settled.mjs", code: 13 },
  "a syntax error": { script: "syntax.cjs", code: 1 },
  "SIGTERM to itself": { script: "signal.cjs", args: ["SIGTERM"], code: 143 },
  "SIGKILL to itself": { script: "signal.cjs", args: ["SIGKILL"], code: 137 },
  "standard input": { script: "stdin.cjs", stdin: "some input\n".repeat(50_000), code: 0 },
  "no standard input": { script: "stdin.cjs", code: 0 },
  "much output to pipes": { script: "output.cjs", code: 0 },
  "much output to files and an early exit": {
    script: "output.cjs",
    args: ["exit"],
    toFiles: true,
    code: 0,
  },
  "an ES module": { script: "module.mjs", code: 0 },
  TypeScript: { script: "typed.ts", code: 5 },
  "a TypeScript module": { script: "typed-module.mts", code: 0 },
};

describe("a script that ends", () => {
  for (const [name, { script, code, ...options }] of Object.entries(cases)) {
    it(`with ${name}`, async () => {
      const entry = app(`scripts/${script}`);
      const plain = await runPlain(entry, options);
      const signal = plain.signal === null ? undefined : os.constants.signals[plain.signal];
      assert.equal(signal === undefined ? plain.code : 128 + signal, code, "plain node");
      const ours = await runOnce(entry, options);
      assert.equal(text(ours.stdout), text(plain.stdout));
      assert.equal(comparableStderr(ours), comparableStderr(plain));
      assert.deepEqual([ours.code, ours.signal], [code, null], ours.stderr.toString());
    });
  }

  for (const node of [22, 26] as const) {
    it(`under Node ${node}, in TypeScript`, async () => {
      const entry = app("scripts/typed.ts");
      const plain = await runPlain(entry, { node });
      const ours = await runOnce(entry, { node });
      assert.equal(plain.code, 5);
      assert.deepEqual([ours.code, ours.signal], [5, null]);
      assert.equal(ours.stdout.toString(), plain.stdout.toString());
      assert.equal(comparableStderr(ours), comparableStderr(plain));
    });
  }
});

describe("a script's exit", () => {
  const optimized = (output: Buffer): number => Number(output) & MAYBE_NEVER_OPTIMIZED;

  it("lets V8 compile nothing more, which Node would wait for", async () => {
    const entry = app("scripts/compiles.cjs");
    const plain = await run(nodeBinary(), ["--allow-natives-syntax", entry], {});
    const ours = await runOnce(entry, {
      flags: ["--node-arg", "--allow-natives-syntax"],
    });
    assert.equal(optimized(plain.stdout), 0, plain.stderr.toString());
    assert.equal(optimized(ours.stdout), MAYBE_NEVER_OPTIMIZED, ours.stderr.toString());
  });
});

/** Bytes as text; of long ones a digest, since a difference would fill the screen. */
function text(bytes: Buffer): string {
  if (bytes.length < 5_000) return bytes.toString("latin1");
  return `${bytes.length} bytes ${createHash("sha256").update(bytes).digest("hex")}`;
}
