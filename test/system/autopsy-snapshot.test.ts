/** What is alive: `snapshot` against V8's own just before, `objects --live` against its count. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
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

/** How often a node of a name has an edge of a name to a node of a name. */
function edgeKinds(nodes: readonly Node[], types: readonly string[]): ReadonlyMap<string, number> {
  const kinds = new Map<string, number>();
  for (const { type, name, edges } of nodes) {
    if (!["object", "closure"].includes(type) || OTHERWISE.has(name)) continue;
    for (const { type: edgeType, name: label, to } of edges) {
      const target = nodes[to];
      // V8 leaves out numbers in fields of their own, and elements of frozen arrays
      if (!types.includes(edgeType) || target?.type === "number") continue;
      const called = target?.type === "object" || target?.type === "closure" ? target.name : "";
      const kind = `${type} ${name}: ${edgeType} ${label} -> ${target?.type} ${called}`;
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
  }
  return kinds;
}

/** How many edges of V8's are not among ours, and of ours not among V8's. */
function gaps(
  own: readonly Node[],
  ours: readonly Node[],
  types: readonly string[],
): { readonly missing: number; readonly extra: number; readonly all: number } {
  const [left, right] = [edgeKinds(own, types), edgeKinds(ours, types)];
  let [missing, extra, all] = [0, 0, 0];
  for (const kind of new Set([...left.keys(), ...right.keys()])) {
    const [theirs, mine] = [left.get(kind) ?? 0, right.get(kind) ?? 0];
    missing += Math.max(0, theirs - mine);
    extra += Math.max(0, mine - theirs);
    all += theirs;
  }
  return { missing, extra, all };
}

/** Edges of a type and a label, of all nodes. */
function countEdges(nodes: readonly Node[], edgeType: string, label: string | RegExp): number {
  const isIt = (name: string): boolean =>
    typeof label === "string" ? name === label : label.test(name);
  return nodes
    .flatMap(({ edges }) => edges)
    .filter(({ type, name }) => type === edgeType && isIt(name)).length;
}

/** What is below the root and not synthetic: from there on, DevTools counts distances. */
function userRoots(nodes: readonly Node[]): readonly string[] {
  const below = (nodes[0]?.edges ?? []).map(({ to }) => nodes[to]);
  return below
    .filter((node) => node?.type !== "synthetic")
    .map((node) => `${node?.type} ${node?.name.replace(/ \(.*\)$/, "")}`);
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
  "global",
  "global (global)",
  "global (global*)",
]);

/** Words that no program sees, which V8 names. */
const INTERNALS = [
  "first",
  "second",
  "parent",
  "table",
  "buffer",
  "bound_function",
  "bound_this",
  "bindings",
  "initial_map",
  "feedback_cell",
  "native_context",
  "back_pointer",
  "descriptors",
  "target",
];

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
        // a date of 1970 reads the same in either form
        assert.deepEqual(session.confidence.failed, []);
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
        const device = path.join(patient.folder, "device");
        symlinkSync("/dev/null", device);
        for (const verb of ["snapshot", "report"]) {
          await assert.rejects(run(`${verb} --output ${device}`), {
            code: "ERR_HOLDFAST_AUTOPSY_WRITE",
            message: /it is a device, a pipe or a socket, and stays that/,
          });
        }
        assert.equal(readlinkSync(device), "/dev/null");
        assert.throws(() => makeCore(patient, device), { code: "ERR_HOLDFAST_AUTOPSY_WRITE" });
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
      for (const name of ["Session", "Order", "Holding", "Extra", "Reference"]) {
        assert.ok(census(own, "object").has(name), name);
        assert.equal(census(ours, "object").get(name), census(own, "object").get(name), name);
        assert.deepEqual(edgesOf(ours, name), edgesOf(own, name), name);
      }
      assert.deepEqual(userRoots(ours), userRoots(own));
      const named = gaps(own, ours, ["property", "context"]);
      assert.ok(named.all > 20_000 && named.missing <= named.all / 100, JSON.stringify(named));
      // variables of blocks and classes, which V8 leaves out
      assert.ok(named.extra <= named.all / 50, JSON.stringify(named));
      const many = ours.find(({ edges }) => edges.some(({ name }) => name === "variable89"));
      assert.equal(many?.edges.filter(({ type }) => type === "context").length, 90);
      for (const label of INTERNALS) {
        const type = label === "target" ? "weak" : "internal";
        const [right, left] = [countEdges(ours, type, label), countEdges(own, type, label)];
        const isNear = Math.abs(right - left) <= Math.max(6, left / 50);
        assert.ok(left > 0 && isNear, `${label}: ${right}, V8 has ${left}`);
      }
      assert.equal(countEdges(ours, "shortcut", "bound_argument_0") > 0, true);
      // one of the table and one of the key, as DevTools looks for them
      const ofWeakMap = new RegExp(
        String.raw`^\d+ / part of key \(Order @\d+\) -> value \(Session @\d+\) ` +
          String.raw`pair in WeakMap \(table @\d+\)$`,
      );
      assert.equal(countEdges(own, "internal", ofWeakMap), 2);
      assert.equal(countEdges(ours, "internal", ofWeakMap), 2);
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
