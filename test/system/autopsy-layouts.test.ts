/**
 * Tables of V8's layouts: they are what a search of the binary finds, a wrong constant is noticed,
 * and a version without a table is refused, or read with that said.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { Session, jsonOf, runExpression, parseExpression } from "../../src/autopsy/mod.ts";
import { selfTest } from "../../src/autopsy/front/self-test.ts";
import { allocationAreas } from "../../src/autopsy/heap/allocation-areas.ts";
import { Heap } from "../../src/autopsy/heap/walk.ts";
import { EM_AARCH64 } from "../../src/autopsy/target/elf.ts";
import { openTarget } from "../../src/autopsy/target/open.ts";
import type { Target } from "../../src/autopsy/target/target.ts";
import type { Confidence } from "../../src/autopsy/v8/checks.ts";
import { Layout } from "../../src/autopsy/v8/layout.ts";
import type { Stated } from "../../src/autopsy/v8/layout-table.ts";
import { LAYOUTS } from "../../src/autopsy/v8/layouts/all.ts";
import { ObjectReader } from "../../src/autopsy/v8/objects.ts";
import { openV8, prepareV8 } from "../../src/autopsy/v8/process.ts";
import type { PreparedV8 } from "../../src/autopsy/v8/process.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const SCRIPT = path.join(ROOT, "scripts/autopsy-layout.ts");
/** By the major of Node. */
const VERSIONS: ReadonlyMap<number, string> = new Map(
  LAYOUTS.map(({ from, version }) => [Number(from.node.split(".")[0]), version]),
);
/** Constants that no object of the subjects depends on enough. */
const MISSED_MAX = 2;
/** What takes more than the content of one object to find: tried in each version, none missed. */
const NEVER_MISSED: ReadonlySet<string> = new Set([
  "codeMetadataSize",
  "codeHandlerTable",
  "hasStackSlots",
  "contextCellValue",
  "contextCellState",
  "contextCellNumber",
  "symbolPrivateMask",
  "capabilityPromise",
  "elementsLastFast",
  "freeSpaceUnit",
  "parserMessageStart",
]);
/** `e_machine` of an ELF header (System V ABI, figure 4-3). */
const E_MACHINE_AT = 18;
const EM_ARM = 40;

async function subjectsCore(t: Parameters<typeof startPatient>[0], major: number): Promise<string> {
  const flags = ["--allow-natives-syntax", "--expose-gc", program("layout-subjects.cjs")];
  const patient = startPatient(t, major, flags);
  await inPosition(patient, { line: "@@ ready" });
  return makeCore(patient);
}

function open(file: string, layouts: typeof LAYOUTS): Promise<Session> {
  return Session.open(file, { node: null, tracer: null, environment: {}, layouts });
}

/** The self-test with one constant changed, with or without what it finds in the heap. */
function confidenceWith(
  target: Target,
  prepared: PreparedV8,
  stated: Stated,
  hasHeap = true,
): Confidence {
  const { layout, isolateData } = prepared;
  const changed = new Layout(layout.metadata, { ...layout.choice, stated });
  const v8 = openV8(target, { layout: changed, isolateData });
  const heap = hasHeap ? new Heap(target, v8.heap, allocationAreas(v8)) : null;
  return selfTest(v8, new ObjectReader(v8.heap, v8.functions), heap);
}

function isNoticed(target: Target, prepared: PreparedV8, stated: Stated): boolean {
  try {
    // the first are among the second, and take no walk
    return [false, true].some((hasHeap) => {
      return confidenceWith(target, prepared, stated, hasHeap).failed.length > 0;
    });
  } catch (error) {
    assert.match(String((error as { readonly code?: unknown }).code), /^ERR_HOLDFAST_AUTOPSY/);
    return true;
  }
}

/** A version without a table is refused, or read with that said. */
async function withoutTable(core: string, version: string): Promise<void> {
  for (const table of LAYOUTS.filter((one) => one.version !== version)) {
    await assert.rejects(open(core, [table]), (error: Error) => {
      assert.equal((error as Error & { code?: string }).code, "ERR_HOLDFAST_AUTOPSY_VERSION");
      assert.match(error.message, /has no table of its own: it is read with that of/);
      assert.match(error.message, /checks fail \(.*\)/);
      return true;
    });
  }
  // all as in its own table, and another name: it is read, and says so wherever it is read
  const table = LAYOUTS.find((one) => one.version === version);
  assert.ok(table !== undefined);
  const session = await open(core, [{ ...table, version: "13.9" }]);
  try {
    const result = await runExpression(session, parseExpression("objects"), undefined);
    const text = JSON.stringify(jsonOf(result));
    assert.match(text, /has no table of its own: it is read with that of 13\.9/);
    const info = await runExpression(session, parseExpression("info"), undefined);
    assert.match(info.kind === "text" ? info.text : "", /table of V8 13\.9, the nearest/);
  } finally {
    session.close();
  }
  await tellsLayout(core, version);
}

/** `info` says which table, and how many checks hold. */
async function tellsLayout(core: string, version: string): Promise<void> {
  const session = await open(core, LAYOUTS);
  try {
    const info = await runExpression(session, parseExpression("info"), undefined);
    const text = info.kind === "text" ? info.text : "";
    const line = text.split("\n").find((one) => one.startsWith("layout")) ?? "";
    assert.ok(line.includes(`table of V8 ${version}; all `), line);
    assert.match(line, /\b(\d+) of \1 checks hold/);
  } finally {
    session.close();
  }
  await marksOtherMachines(core);
}

/** A core of arm64 is read with a mark on all that is said; of a third machine, refused. */
async function marksOtherMachines(core: string): Promise<void> {
  const bytes = readFileSync(core);
  bytes.writeUInt16LE(EM_AARCH64, E_MACHINE_AT);
  writeFileSync(core, bytes);
  const session = await open(core, LAYOUTS);
  try {
    for (const expression of ["stacks", "objects"]) {
      const result = await runExpression(session, parseExpression(expression), undefined);
      assert.match(JSON.stringify(jsonOf(result)), /this is an arm64 process: nothing was tried/);
    }
  } finally {
    session.close();
  }
  bytes.writeUInt16LE(EM_ARM, E_MACHINE_AT);
  writeFileSync(core, bytes);
  await assert.rejects(open(core, LAYOUTS), { code: "ERR_HOLDFAST_AUTOPSY_NOT_CORE" });
}

describe("tables of layouts", { concurrency: 2 }, () => {
  for (const [major, binary] of NODES) {
    test(`the table for Node ${major} is what its binary says`, async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, binary, "--check"]);
      assert.equal(stdout, `V8 ${VERSIONS.get(major)}: the table holds\n`);
    });

    test(`a wrong constant is noticed, Node ${major}`, async (t) => {
      const core = await subjectsCore(t, major);
      const target = openTarget(core);
      t.after(() => target.close());
      const prepared = prepareV8(target.executable);
      const { stated } = prepared.layout;
      const right = confidenceWith(target, prepared, stated);
      assert.deepEqual(right.failed, []);
      assert.ok(right.held > 40, `${right.held} checks held`);
      const all = Object.entries(stated).flatMap(([name, value]) =>
        typeof value === "number" && value !== -1 ? [{ name, value }] : [],
      );
      assert.ok(all.length > 55);
      // on one version all of them, which takes some seconds
      const names = all.filter(({ name }, index) => {
        return major === 24 || index % 4 === major % 3 || NEVER_MISSED.has(name);
      });
      const missed = names.filter(
        ({ name, value }) => !isNoticed(target, prepared, { ...stated, [name]: value + 8 }),
      );
      t.diagnostic(`${names.length - missed.length} of ${names.length} constants noticed`);
      assert.ok(
        missed.length <= MISSED_MAX && !missed.some(({ name }) => NEVER_MISSED.has(name)),
        `not noticed: ${missed.map(({ name }) => name).join(", ")}`,
      );
      await withoutTable(core, VERSIONS.get(major) ?? "");
    });
  }
});
