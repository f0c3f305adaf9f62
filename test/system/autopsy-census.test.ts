/** The census of a core against what the process said of itself: v8.queryObjects, its snapshot. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import type { Result, TableResult } from "../../src/autopsy/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

/** What a heap snapshot says (v8/src/profiler/heap-snapshot-generator.cc). */
interface Snapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: string[]; readonly node_types: [string[]] };
  };
  readonly nodes: readonly number[];
  readonly strings: readonly string[];
}

function countsOf(file: string): ReadonlyMap<string, number> {
  const { snapshot, nodes, strings } = JSON.parse(readFileSync(file, "utf8")) as Snapshot;
  const width = snapshot.meta.node_fields.length;
  const object = snapshot.meta.node_types[0].indexOf("object");
  const counts = new Map<string, number>();
  for (let at = 0; at < nodes.length; at += width) {
    if (nodes[at] !== object) continue;
    const name = strings[nodes[at + 1] ?? 0] ?? "";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** Names of V8's snapshot whose counts are others here, for these reasons. */
const NAMED_OTHERWISE: ReadonlySet<string> = new Set([
  // made since, by the writing of the truth itself
  "Object",
  "Array",
  // functions: a closure for V8, an instance of its class here
  "AsyncFunction",
  "AsyncGeneratorFunction",
  "GeneratorFunction",
  // prototypes, which are objects here
  "Boolean",
  "Number",
  "String",
  // "(context)" and "global" here
  "system / Context",
  "global (global)",
  "global (global*)",
]);

async function ask(session: Session, expression: string): Promise<TableResult> {
  const result: Result = await runExpression(session, parseExpression(expression), undefined);
  assert.equal(result.kind, "table");
  return result;
}

describe("the census of a core", () => {
  for (const major of NODES.keys()) {
    it(`is that of the process itself, Node ${major}`, async (t) => {
      const patient = startPatient(t, major, (folder) => [
        program("census.cjs"),
        path.join(folder, "truth.json"),
        path.join(folder, "self.heapsnapshot"),
      ]);
      const truthFile = path.join(patient.folder, "truth.json");
      await inPosition(patient, { file: truthFile });
      const truth = JSON.parse(readFileSync(truthFile, "utf8")) as Record<string, number>;
      const own = countsOf(path.join(patient.folder, "self.heapsnapshot"));
      const core = makeCore(patient);
      const session = await Session.open(core, { node: null, tracer: null, environment: {} });
      try {
        const { rows, remarks } = await ask(session, "objects --limit 0");
        const counts = new Map(rows.map(([name, count]) => [String(name), Number(count)]));
        assert.equal(counts.get("Session"), truth["Session"]);
        // queryObjects counts instances of subclasses too
        assert.equal((counts.get("Order") ?? 0) + (counts.get("Late") ?? 0), truth["Order"]);
        assert.equal(counts.get("Late"), truth["Late"]);
        const nameless = [...counts.keys()].filter((name) => /\d\)$/u.test(name));
        assert.deepEqual(nameless, []);
        const differing = [...own].filter(([name, count]) => counts.get(name) !== count);
        assert.deepEqual(
          differing.map(([name]) => name).filter((name) => !NAMED_OTHERWISE.has(name)),
          [],
        );
        assert.ok(own.size > 100, `${own.size} classes were compared`);
        for (const name of ["Object", "Array"]) {
          assert.ok((counts.get(name) ?? 0) >= (own.get(name) ?? 0), name);
        }
        const said = remarks.join("\n");
        assert.match(said, /\d+ objects, \d+ bytes/);
        assert.doesNotMatch(said, /passed over/);

        const holders = await ask(session, "find Session --property id --value 5 | refs");
        const edges = holders.rows.map(([, name, by, strength]) => [name, by, strength].join(" "));
        assert.deepEqual(edges.toSorted(), [
          "Array(3237) [5] strong",
          "Map .get('the session') strong",
          "WeakMap  (as a key) weak",
          "global .target strong",
        ]);
        const all = await ask(session, "find Session --limit 0 | refs --limit 0");
        const ofOne = all.rows.filter(([, name]) => name === "WeakMap");
        assert.equal(new Set(ofOne.map((row) => row[4])).size, 2); // both of its keys
        const held = await runExpression(session, parseExpression("find Held | why"), undefined);
        assert.match(held.kind === "text" ? held.text : "", /-> FinalizationRegistry @/);
        const why = "find Session --property id --value 2999 | why";
        const path = await runExpression(session, parseExpression(why), undefined);
        assert.ok(path.kind === "text");
        assert.match(
          path.text,
          /global @0x[0-9a-f]+\n {2}\.kept -> Array.*\n {4}\[2999\] -> Session/,
        );
        const wanted = await ask(session, "objects Session --shapes");
        assert.deepEqual(
          wanted.rows.map(([name, count, , , names]) => [name, count, names]),
          [["Session", 3_000, "id, tags"]],
        );
        const strings = await ask(session, 'strings "late 3" --limit 0');
        assert.equal(strings.rows.length, 8); // 3, 30 to 36
      } finally {
        session.close();
      }
    });
  }
});
