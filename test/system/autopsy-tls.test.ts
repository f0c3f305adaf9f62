/** Both ends of a TLS connection, as `handles` tells them: names, addresses, descriptors. */
import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

const CERTIFICATES = path.resolve(import.meta.dirname, "../apps/shared");

describe("handles of TLS", () => {
  for (const major of NODES.keys()) {
    it(`have the names that were asked for, live and in a core, Node ${major}`, async (t) => {
      const patient = startPatient(t, major, [program("tls-pair.cjs"), CERTIFICATES]);
      await inPosition(patient, { line: "." });
      const port = /port (\d+)\./u.exec(patient.output())?.[1] ?? "";
      const core = makeCore(patient);
      const options = { node: null, tracer: new PtraceTracer(), environment: {} };
      const sessions = [
        await Session.open(core, options),
        await Session.copied(patient.pid, options),
      ];
      for (const session of sessions) {
        t.after(() => session.close());
        const result = await runExpression(session, parseExpression("handles socket"), undefined);
        assert.ok(result.kind === "table");
        const found = result.rows
          .map(([, , what]) => String(what))
          .filter((what) => /TLS/u.test(what));
        const end = `127\\.0\\.0\\.1:${port}`;
        const other = "127\\.0\\.0\\.1:\\d+";
        const [served = "", asked = ""] = found.toSorted();
        assert.match(served, new RegExp(`^TLS as shop\\.example, ${end} -> ${other}$`, "u"));
        assert.match(asked, new RegExp(`^TLS to shop\\.example, ${other} -> ${end}$`, "u"));
        assert.equal(found.length, 2);
      }
    });
  }
});
