/** What is alive: `snapshot` against V8's own just before, `objects --live` against its count. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

interface Snapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly node_types: readonly [readonly string[]];
      readonly edge_types: readonly [readonly string[]];
    };
    readonly node_count: number;
    readonly edge_count: number;
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

interface Node {
  readonly type: string;
  readonly name: string;
  readonly bytes: number;
  /** `property tags`, and the place of the node that it leads to. */
  readonly edges: readonly { readonly type: string; readonly name: string; readonly to: number }[];
}

function nodesOf(file: string): readonly Node[] {
  const { snapshot, nodes, edges, strings } = JSON.parse(readFileSync(file, "utf8")) as Snapshot;
  const { node_fields: fields, node_types: types, edge_types: edgeTypes } = snapshot.meta;
  const width = fields.length;
  const at = (name: string): number => fields.indexOf(name);
  assert.equal(nodes.length, snapshot.node_count * width);
  assert.equal(edges.length, snapshot.edge_count * 3);
  let next = 0;
  const read: Node[] = [];
  for (let place = 0; place < nodes.length; place += width) {
    const found: { type: string; name: string; to: number }[] = [];
    for (let count = nodes[place + at("edge_count")] ?? 0; count > 0; count -= 1) {
      const [kind, name, to] = [edges[next] ?? 0, edges[next + 1] ?? 0, edges[next + 2] ?? 0];
      next += 3;
      assert.ok(to % width === 0 && to < nodes.length, `an edge to ${to}`);
      const type = edgeTypes[0][kind] ?? "";
      const isNumber = type === "element" || type === "hidden";
      found.push({ type, name: isNumber ? String(name) : (strings[name] ?? "?"), to: to / width });
    }
    read.push({
      type: types[0][nodes[place] ?? 0] ?? "",
      name: strings[nodes[place + 1] ?? 0] ?? "?",
      bytes: nodes[place + at("self_size")] ?? 0,
      edges: found,
    });
  }
  assert.equal(next, edges.length);
  return read;
}

/** Count and bytes of the nodes of a type, by name. */
function census(nodes: readonly Node[], type: string): ReadonlyMap<string, string> {
  const totals = new Map<string, { count: number; bytes: number }>();
  for (const { name, bytes } of nodes.filter((node) => node.type === type)) {
    const total = totals.get(name) ?? { count: 0, bytes: 0 };
    totals.set(name, { count: total.count + 1, bytes: total.bytes + bytes });
  }
  return new Map([...totals].map(([name, { count, bytes }]) => [name, `${count}, ${bytes} bytes`]));
}

function differing(own: readonly Node[], ours: readonly Node[], type: string): string[] {
  const [left, right] = [census(own, type), census(ours, type)];
  const names = new Set([...left.keys(), ...right.keys()]);
  return [...names].filter((name) => left.get(name) !== right.get(name));
}

/** Properties, elements and variables of all nodes of a name, each with what it leads to. */
function edgesOf(nodes: readonly Node[], name: string): readonly string[] {
  const named = nodes.filter((node) => node.type === "object" && node.name === name);
  const found = named.flatMap(({ edges }) =>
    edges.flatMap(({ type, name: label, to }) => {
      const target = nodes[to];
      const isNumber = target?.type === "number"; // V8 leaves out those in fields of their own
      if (!["property", "element", "context"].includes(type) || isNumber) return [];
      return [`${type} ${label} -> ${target?.type} ${target?.name}`];
    }),
  );
  return found.toSorted();
}

function reachable(nodes: readonly Node[]): number {
  const seen = new Set([0]);
  for (const place of seen) {
    for (const { type, to } of nodes[place]?.edges ?? []) if (type !== "weak") seen.add(to);
  }
  return seen.size;
}

/** Made by the writing of V8's snapshot itself, or named otherwise: see docs/autopsy.md. */
const OTHERWISE: ReadonlySet<string> = new Set([
  "Object",
  "Array",
  "Timeout",
  "Garbage",
  "Boolean",
  "Number",
  "String",
  "global",
  "global (global)",
  "global (global*)",
]);

describe("a heap snapshot made from a core", () => {
  for (const major of NODES.keys()) {
    it(`is V8's own, Node ${major}`, async (t) => {
      const patient = startPatient(t, major, (folder) => [
        program("snapshot.cjs"),
        path.join(folder, "own.heapsnapshot"),
      ]);
      const ownFile = path.join(patient.folder, "own.heapsnapshot");
      await inPosition(patient, { file: ownFile });
      const core = makeCore(patient);
      const file = path.join(patient.folder, "ours.heapsnapshot");
      const session = await Session.open(core, { node: null, tracer: null, environment: {} });
      try {
        const run = (text: string) => runExpression(session, parseExpression(text), undefined);
        const result = await run(`snapshot -o ${file}`);
        assert.ok(result.kind === "text");
        const lost = path.join(patient.folder, "no folder", "x.heapsnapshot");
        await assert.rejects(run(`snapshot --output '${lost}'`), {
          code: "ERR_HOLDFAST_AUTOPSY_WRITE",
        });
        await assert.rejects(run("snapshot --output /dev/full/x"), {
          code: "ERR_HOLDFAST_AUTOPSY_WRITE",
        });
      } finally {
        session.close();
      }
      assert.deepEqual(
        readdirSync(patient.folder).filter((name) => name.includes("partial")),
        [],
      );
      const [own, ours] = [nodesOf(ownFile), nodesOf(file)];
      assert.equal(reachable(ours), ours.length);
      const others = differing(own, ours, "object").filter((name) => !OTHERWISE.has(name));
      // Node's own work went on between the two
      assert.ok(others.length <= 5, `of another number: ${others.join(", ")}`);
      assert.ok(census(own, "object").size > 80);
      for (const type of ["closure", "regexp", "symbol", "bigint", "sliced string"]) {
        assert.ok(differing(own, ours, type).length <= 2, type);
      }
      // 5,500 were made and one is held; V8's own writing leaves copies of references behind
      const garbage = ours.filter(({ type, name }) => type === "object" && name === "Garbage");
      assert.ok(garbage.length >= 1 && garbage.length <= 20, `${garbage.length} of the garbage`);
      const buffers = ours.filter(({ name }) => name === "system / JSArrayBufferData");
      assert.ok(buffers.some(({ bytes }) => bytes === 100_000));
      for (const name of ["Session", "Order"]) {
        assert.equal(census(ours, "object").get(name), census(own, "object").get(name), name);
        assert.deepEqual(edgesOf(ours, name), edgesOf(own, name), name);
      }
      const [mine, theirs] = [ours, own].map((all) => all.filter(({ type }) => type === "string"));
      const gap = Math.abs((mine?.length ?? 0) - (theirs?.length ?? 0));
      assert.ok(gap <= 50, `${gap} strings more or less`);
    });
  }
});

describe("the census of what is alive", () => {
  for (const major of NODES.keys()) {
    it(`is that of v8.queryObjects, Node ${major}`, async (t) => {
      const patient = startPatient(t, major, [program("churn.cjs")]);
      await inPosition(patient, { line: "ready" });
      const core = makeCore(patient); // with its garbage: only now it is asked
      patient.child.kill("SIGUSR2");
      await inPosition(patient, { line: "}." });
      const text = /counts (.*)\./.exec(patient.output())?.[1] ?? "{}";
      const truth = JSON.parse(text) as Record<string, number>;
      const session = await Session.open(core, { node: null, tracer: null, environment: {} });
      try {
        const counts = async (expression: string): Promise<ReadonlyMap<string, number>> => {
          const result = await runExpression(session, parseExpression(expression), undefined);
          assert.ok(result.kind === "table");
          return new Map(result.rows.map(([name, count]) => [String(name), Number(count)]));
        };
        const all = await counts("objects --limit 0");
        const live = await counts("objects --live --limit 0");
        for (const [name, count] of Object.entries(truth)) {
          // never less; more by a stale word in a small object of V8
          const more = (live.get(name) ?? 0) - count;
          const most = 10; // of 10,000 that were made
          assert.ok(more >= 0 && more <= most, `${name}: ${live.get(name)}, in truth ${count}`);
        }
        assert.ok((all.get("Churned") ?? 0) > 10 * (truth["Churned"] ?? 0));
      } finally {
        session.close();
      }
    });
  }
});
