/** What is an object and what is not: memory that V8 has not given out holds dead ones. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

/** One that lived while V8 collected may have become old and died there: garbage, an object. */
const OLD_GARBAGE_MAX = 5;

describe("objects of a core", () => {
  for (const major of NODES.keys()) {
    it(`are not read from unused parts of allocation areas, Node ${major}`, async (t) => {
      const patient = startPatient(t, major, ["--expose-gc", program("young.cjs")]);
      await inPosition(patient, { line: "ready" });
      const options = { node: null, tracer: null, environment: {} };
      const session = await Session.open(makeCore(patient), options);
      try {
        const counts = new Map<string, number>();
        const pipe = parseExpression("objects --limit 0");
        const result = await runExpression(session, pipe, undefined);
        assert.ok(result.kind === "table");
        for (const [name, count] of result.rows) counts.set(String(name), Number(count));
        assert.equal(counts.get("Kept"), 300);
        assert.ok((counts.get("Temporary") ?? 0) <= OLD_GARBAGE_MAX, `${counts.get("Temporary")}`);
        // the tag is in the object: others with a dictionary have the same map
        assert.equal(counts.get("Intl"), 1);
        assert.equal(counts.get("Tagged one"), 1);
        assert.equal(counts.get("Tagged two"), 2);
      } finally {
        session.close();
      }
    });
  }
});
