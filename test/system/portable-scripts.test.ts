/** A program that listens on nothing ends in portable mode as it does under plain node. */
import assert from "node:assert/strict";
import os from "node:os";
import { describe, it } from "node:test";
import type { Allowed } from "./support/differences.ts";
import { differences, unexpected } from "./support/differences.ts";
import { comparableStderr, runOnce, runPlain } from "./support/once.ts";
import type { OnceOptions } from "./support/once.ts";
import { jsonLines } from "./support/output.ts";
import { app } from "./support/paths.ts";
import { MARK_VARIABLE } from "./support/processes.ts";

const flags = ["--portable"];

interface Case extends OnceOptions {
  readonly script: string;
  readonly code: number;
}

const cases: Record<string, Case> = {
  "arguments and both outputs": { script: "ok.cjs", args: ["a", "--b", "c d", ""], code: 0 },
  "process.exit(3)": { script: "exit-3.cjs", code: 3 },
  "a throw in a timer": { script: "throw-later.cjs", code: 1 },
  "a top-level await that never settles": { script: "never-settled.mjs", code: 13 },
  "SIGTERM to itself": { script: "signal.cjs", args: ["SIGTERM"], code: 143 },
  "standard input": { script: "stdin.cjs", stdin: "some input\n".repeat(10_000), code: 0 },
  "much output and an early exit": { script: "output.cjs", code: 0 },
  TypeScript: { script: "typed.ts", code: 5 },
};

describe("in portable mode a script that ends", () => {
  for (const [name, { script, code, ...options }] of Object.entries(cases)) {
    it(`with ${name}`, async () => {
      const entry = app(`scripts/${script}`);
      const plain = await runPlain(entry, options);
      const signal = plain.signal === null ? undefined : os.constants.signals[plain.signal];
      assert.equal(signal === undefined ? plain.code : 128 + signal, code, "plain node");
      const ours = await runOnce(entry, { ...options, flags });
      assert.ok(ours.stdout.equals(plain.stdout), "standard output, byte for byte");
      assert.equal(comparableStderr(ours), comparableStderr(plain));
      assert.deepEqual([ours.code, ours.signal], [code, null], ours.stderr.toString());
    });
  }
});

/** The list in docs/portable.md. */
const allowed: Allowed = [
  [/^cluster\.is(Primary|Worker): /, "a worker is a worker, as under node:cluster"],
  [/^clusterKeys\[\]: /, "node:cluster offers a worker other names than a primary"],
  [/^(send|connected): .* -> ("function"|true)$/, "there is an IPC channel"],
  [/^processKeys\[\]: missing -> /, "as above"],
  [/^listeners\.(newListener|removeListener|internalMessage): /, "as above, and our preload"],
  [/^listeners\.(error|message|disconnect): missing -> 1$/, "node:cluster's"],
  [/^extraDescriptors\[\]: missing -> "socket"$/, "the channel"],
];

describe("in portable mode an application sees what it sees under plain node", () => {
  for (const node of [22, 24, 26] as const) {
    it(`but for what is listed, Node ${node}`, async () => {
      const options = { node, env: { GIVEN_BY_USER: "yes" }, args: ["an", "argument"] };
      const [plain, ours] = await Promise.all([
        runPlain(app("guest.cjs"), options),
        runOnce(app("guest.cjs"), { ...options, flags }),
      ]);
      const facts = [plain, ours].map(({ stdout, stderr }) => {
        const [all] = jsonLines<Record<string, unknown>>(stdout.toString());
        assert.ok(all !== undefined, stderr.toString());
        const env = all["env"] as Record<string, string>; // what facts.cjs has written
        delete env[MARK_VARIABLE];
        delete env["HOLDFAST_RUNTIME_DIR"];
        const { builtins: _functions, ...rest } = all;
        return rest;
      });
      const lines = differences(facts[0] ?? {}, facts[1] ?? {});
      assert.ok(lines.some((line) => line.startsWith("cluster.isWorker")));
      assert.deepEqual(unexpected(lines, allowed), []);
    });
  }
});
