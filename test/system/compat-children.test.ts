/**
 * Children of a worker (child_process.fork, worker_threads, programs) are the application's own:
 * they see nothing of Holdfast, and the ports that they listen on are theirs.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Allowed } from "./support/differences.ts";
import { differences, unexpected } from "./support/differences.ts";
import { runOnce, runPlain } from "./support/once.ts";
import { jsonLines } from "./support/output.ts";
import { app } from "./support/paths.ts";
import { MARK_VARIABLE } from "./support/processes.ts";

interface ChildFacts {
  facts: { env: Record<string, string>; execArgv: string[]; cluster: { isPrimary: boolean } };
  text: string;
}

interface Children {
  child: ChildFacts;
  thread: ChildFacts;
  programDescriptors: number;
}

/** A thread shares its process, so it sees what the process has. */
const allowed: Allowed = [
  [
    /^thread\.facts\.extraDescriptors\[\]: missing -> "(socket|\/memfd:holdfast[^"]*)"$/,
    "channels",
  ],
];

describe("children of the application", () => {
  for (const node of [22, 24, 26] as const) {
    it(`see what they see under plain node, Node ${node}`, async () => {
      const entry = app("children.cjs");
      const plain = read(await runPlain(entry, { node }));
      const ours = read(await runOnce(entry, { node }));
      assert.equal(plain.child.text, "mine");
      assert.deepEqual(plain.child.facts.execArgv, []);
      assert.deepEqual(unexpected(differences(plain, ours), allowed), []);
    });
  }
});

function read(result: { stdout: Buffer; stderr: Buffer; code: number | null }): Children {
  const [facts] = jsonLines<Children>(result.stdout.toString());
  assert.ok(facts !== undefined && result.code === 0, `${result.code} ${result.stderr.toString()}`);
  for (const { facts: each } of [facts.child, facts.thread]) {
    delete each.env[MARK_VARIABLE];
    delete each.env["HOLDFAST_RUNTIME_DIR"];
  }
  return facts;
}
