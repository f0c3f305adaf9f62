/** A dump leaves out memory in which nothing is any more: no verb tells anything else of it. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { withoutUnused } from "../../src/autopsy/front/left-out.ts";
import { writeDump } from "../../src/autopsy/target/dump.ts";
import { openTarget } from "../../src/autopsy/target/open.ts";
import type { Target } from "../../src/autopsy/target/target.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { NODES, inPosition, program, startPatient } from "./support/autopsy.ts";

const VERBS = [
  "objects --limit 0 --sort name",
  "objects --live --limit 0 --sort name",
  "strings --limit 0",
  "closures --limit 0",
  "modules --limit 0",
  "handles",
  "asyncs",
  "promises --all",
  "find Kept | print --depth 3",
  "find Kept | refs",
  "find Kept --limit 1 | why",
  "threads",
  "stacks --all --full",
  "env",
];

const PAGE_BYTES = 4096;
const ZEROS = Buffer.alloc(PAGE_BYTES);

/** Addresses of pages that a dump has otherwise than the process, and how many it has. */
function differences(
  process: Pick<Target, "memory" | "mappings">,
  dump: Pick<Target, "memory">,
  isWhole: boolean,
): { readonly pages: number; readonly differing: readonly string[] } {
  const differing: string[] = [];
  let pages = 0;
  for (const { start, end, path: name, isReadable } of process.mappings) {
    if (!isReadable || name?.startsWith("[v") === true) continue; // vvar, vdso, vsyscall
    for (let at = start; at < end; at += PAGE_BYTES) {
      const there = dump.memory.read(at, PAGE_BYTES);
      if (there === null) continue;
      pages += 1;
      // what was never touched is not there in the one, and may be zeros in the other
      const own = process.memory.read(at, PAGE_BYTES) ?? ZEROS;
      const isLeftOut = !isWhole && name?.startsWith("/") !== true && there.equals(ZEROS);
      if (!own.equals(there) && !isLeftOut) differing.push(`${at.toString(16)} of ${name}`);
    }
  }
  return { pages, differing };
}

for (const major of NODES.keys()) {
  describe(`dump of Node ${major}`, () => {
    it("without what is unused tells the same as one of everything", async (t) => {
      const patient = startPatient(t, major, ["--expose-gc", program("unused.cjs")]);
      await inPosition(patient, { line: "in position" });
      const [whole, small] = ["whole", "small"].map((name) => path.join(patient.folder, name)) as [
        string, // a list of two
        string,
      ];
      const target = openTarget(patient.pid, { tracer: new PtraceTracer() });
      try {
        writeDump(target, whole);
        writeDump(withoutUnused(target), small);
        for (const file of [whole, small]) {
          const core = openTarget(file);
          const { pages, differing } = differences(target, core, file === whole);
          core.close();
          assert.deepEqual(differing, [], path.basename(file));
          assert.ok(pages > 2_000, `${pages} pages`);
        }
      } finally {
        target.close();
      }
      const [all, some] = [whole, small].map((file) => statSync(file).size);
      // the young generation, and 9 MB of buffers that were given back
      assert.ok((some ?? 0) < (all ?? 0) - 9_000_000, `${some} of ${all}`);
      const options = { node: null, tracer: null, environment: {}, title: "the core" };
      const [first, second] = [
        await Session.open(whole, options),
        await Session.open(small, options),
      ];
      t.after(() => [first, second].forEach((session) => session.close()));
      for (const verb of VERBS) {
        const stages = parseExpression(verb);
        const expected = await runExpression(first, stages, undefined);
        assert.deepEqual(await runExpression(second, stages, undefined), expected, verb);
        assert.ok(expected.kind === "text" ? expected.text !== "" : expected.rows.length > 0, verb);
      }
    });
  });
}
