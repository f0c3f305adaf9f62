/** What only one part of V8 holds is alive, and what was dropped is not: exactly as many. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import type { TableResult } from "../../src/autopsy/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

/** As `held.cjs` has made them. */
const HELD: Readonly<Record<string, number>> = {
  OnStack: 11,
  Deeper: 63,
  Queued: 17,
  Awaited: 5,
  OfRequest: 19,
  OfTimer: 13,
  OfContext: 9,
  InWorker: 7,
};

async function ask(session: Session, expression: string): Promise<TableResult> {
  const result = await runExpression(session, parseExpression(expression), undefined);
  assert.ok(result.kind === "table");
  return result;
}

describe("objects that only the stack, a queue or a handle holds", () => {
  for (const major of NODES.keys()) {
    it(`are alive, and no others, Node ${major}`, async (t) => {
      const patient = startPatient(t, major, [program("held.cjs")]);
      await inPosition(patient, { line: "ready" });
      const core = makeCore(patient);
      const session = await Session.open(core, { node: null, tracer: null, environment: {} });
      t.after(() => session.close());
      const live = await ask(session, "objects --live --limit 0");
      const counts = new Map(live.rows.map(([name, count]) => [name, count]));
      for (const [name, count] of Object.entries(HELD)) assert.equal(counts.get(name), count, name);
      // 5,000 were made; of native memory none of them is a root
      assert.equal(counts.get("Dropped"), undefined);
      assert.match(String(live.remarks[0]), /bytes are alive, of \d+ objects/u);
      const why = await runExpression(
        session,
        parseExpression("find OnStack --limit 1 | why"),
        undefined,
      );
      assert.ok(why.kind === "text");
      assert.match(why.text, /^held by a handle of native code, by the stack, or by V8 itself:/u);
    });
  }
});
