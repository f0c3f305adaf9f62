/** What is an object and what is not: memory that V8 has not given out holds dead ones. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

/** One that lived while V8 collected may have become old and died there: garbage, an object. */
const OLD_GARBAGE_MAX = 5;

/** `file:line:column` of each frame that each RangeError recorded: as frames, and as V8's text. */
async function errorPlaces(session: Session): Promise<string[][]> {
  const found = await runExpression(
    session,
    parseExpression("find RangeError --limit 0"),
    undefined,
  );
  assert.ok(found.kind === "table");
  const places: string[][] = [];
  for (const [address] of found.rows) {
    const value = session.describer.describe(Number(address));
    assert.ok(value.kind === "object");
    const stack = value.members.find(({ name }) => name === "<stack>")?.value;
    if (stack?.kind !== "object") continue; // the prototype of all of them
    places.push(
      stack.members.map(({ value: line }) =>
        line.kind === "primitive" ? line.text.replace(/^.*\(|^at /, "").replace(/\)$/, "") : "",
      ),
    );
  }
  return places;
}

/** What is put together of very many parts is read where it is asked for, and told elsewhere. */
async function assertLongText(session: Session): Promise<void> {
  const ask = (text: string) => runExpression(session, parseExpression(text), undefined);
  const log = await ask("find Log --property text | print");
  assert.match(log.kind === "text" ? log.text : "", /'line number 0\\n.*\.\.\. \d{6} more char/su);
  const strings = await ask("strings 'line number 777' --limit 0");
  assert.ok(strings.kind === "table" && strings.rows.length < 100);
  assert.match(strings.remarks.join("\n"), /^\d{5} strings \(.*too many parts/mu);
  const found = await ask("find --text 'number 11999' --limit 5");
  assert.match(
    found.kind === "table" ? found.remarks.join("\n") : "",
    /not searched to their end/u,
  );
}

describe("objects of a core", () => {
  for (const major of NODES.keys()) {
    it(`are those that V8 has, with names and stacks, Node ${major}`, async (t) => {
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
        const [unread, read, ...others] = await errorPlaces(session);
        assert.ok(unread !== undefined && read !== undefined && others.length === 0);
        assert.deepEqual(unread, read);
        assert.match(unread[0] ?? "", /young\.cjs:\d+:\d+$/);
        assert.ok(unread.length >= 5, unread.join("\n"));
        if (major === 24) await assertLongText(session);
      } finally {
        session.close();
      }
    });
  }
});
