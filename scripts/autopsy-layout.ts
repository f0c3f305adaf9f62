/**
 * Writes the table of constants for one version of V8, from a node binary of it:
 *
 * ```
 *   node scripts/autopsy-layout.ts <node binary> [--check]
 *      |
 *      |-- the binary's own constants for debuggers (v8dbg_*)             --> metadata
 *      |-- runs test/apps/autopsy/layout-subjects.cjs under it: objects whose content is known,
 *      |   whose addresses it prints; stops it and searches their bytes   --> stated
 *      `-- reads that process with the table that it has made: what does not hold is named
 * ```
 * `--check` writes nothing and compares with the table that is there.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { openTarget } from "../src/autopsy/target/open.ts";
import type { Target } from "../src/autopsy/target/target.ts";
import { HeapView } from "../src/autopsy/v8/heap-view.ts";
import { deriveIsolateData, isolateOf } from "../src/autopsy/v8/isolates.ts";
import { Layout } from "../src/autopsy/v8/layout.ts";
import type { LayoutTable, Stated } from "../src/autopsy/v8/layout-table.ts";
import { LAYOUTS } from "../src/autopsy/v8/layouts/all.ts";
import { readMetadata } from "../src/autopsy/v8/metadata.ts";
import { PtraceTracer } from "../src/os/mod.ts";
import { HEAP_MIB } from "./autopsy-layout-heap.ts";
import type { Found } from "./autopsy-layout-scene.ts";
import { searchAll } from "./autopsy-layout-search.ts";
import { verify } from "./autopsy-layout-verify.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
const FOLDER = path.join(ROOT, "src/autopsy/v8/layouts");
const SUBJECTS = path.join(ROOT, "test/apps/autopsy/layout-subjects.cjs");
/** One of V8's names is too long for a line of ours; nothing here reads it. */
const NAME_CHARS_MAX = 90;
const READY_WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 20;
const ASLEEP_LOOKS = 5;

/** Starts the subjects, and gives what they printed once they stand still. */
async function startSubjects(
  node: string,
): Promise<{ readonly pid: number; readonly output: string; readonly child: ChildProcess }> {
  const size = `--max-old-space-size=${HEAP_MIB}`;
  const flags = ["--allow-natives-syntax", "--expose-gc", "--perf-prof-unwinding-info", size];
  const child = spawn(node, [...flags, SUBJECTS], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("the subjects are not ready")), READY_WITHIN_MS);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the subjects ended with ${code}`)));
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString("latin1");
      if (output.includes("@@ ready")) resolve(clearTimeout(late));
    });
  }).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });
  if (child.pid === undefined) throw new Error(`cannot start ${node}`);
  await asleep(child.pid);
  return { pid: child.pid, output, child };
}

/** From "ready" to the wait it is a few instructions, which take long on a busy machine. */
async function asleep(pid: number): Promise<void> {
  const endsAt = performance.now() + READY_WITHIN_MS;
  for (let looks = 0; looks < ASLEEP_LOOKS;) {
    if (performance.now() > endsAt) throw new Error("the subjects do not stand still");
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    // proc(5): the state of the main thread stands behind its name, in parentheses
    const state = /\) (\S) /u.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1];
    looks = state === "S" ? looks + 1 : 0;
  }
}

/** Subjects by name: address, and all that `%DebugPrint` said. */
function subjectsIn(output: string): ReadonlyMap<string, { address: number; text: string }> {
  const subjects = new Map<string, { address: number; text: string }>();
  for (const part of output.split("\n@@ ").slice(1)) {
    const name = part.slice(0, part.indexOf("\n"));
    const address = /DebugPrint: 0x([0-9a-f]+)/u.exec(part)?.[1];
    if (address === undefined) continue;
    subjects.set(name, { address: Number.parseInt(address, 16) - 1, text: part });
  }
  return subjects;
}

/**
 * @param form any table: its values are not used. What the search reads with has none, so that
 *   nothing is carried over from one version to the next.
 */
function search(target: Target, output: string, form: LayoutTable): LayoutTable {
  const metadata = readMetadata(target.executable);
  const version = metadata.version.split(".").slice(0, 2).join(".");
  const unknown = Object.keys(form.stated).map((name) => [name, Number.NaN]);
  const stated: Stated = Object.fromEntries(unknown);
  const layout = new Layout(metadata, { stated, table: form, isExact: false });
  const offsets = deriveIsolateData(target.executable);
  const [thread] = target.threads;
  if (offsets === null || thread === undefined) throw new Error("no isolate data");
  const isolate = isolateOf(target, offsets, thread);
  if (isolate === null) throw new Error("no isolate");
  const found: Found = searchAll({
    target,
    heap: new HeapView(target.memory, layout),
    isolate: isolate.address,
    sp: thread.registers?.sp ?? 0,
    subjects: subjectsIn(output),
  });
  const named = /node-v?(\d+\.\d+\.\d+)|(\d+\.\d+\.\d+)/u.exec(nodeVersion(target)) ?? [];
  return {
    version,
    from: {
      node: named[1] ?? named[2] ?? "?",
      v8: metadata.version,
      buildId: target.executable.buildId ?? "?",
    },
    stated: found,
    metadata: Object.fromEntries(
      [...metadata.constants]
        .filter(([name]) => name.length <= NAME_CHARS_MAX)
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    ),
  };
}

/** The binary says it in one of its texts: "node-v24.21.0" is in its release URLs. */
function nodeVersion({ executable }: Target): string {
  const data = executable.section(".rodata");
  const bytes = data === null ? Buffer.alloc(0) : executable.sectionBytes(data);
  const at = bytes.indexOf("/download/release/v");
  return at < 0 ? "" : `node-${bytes.toString("latin1", at + 18, at + 40)}`;
}

function sourceText({ version, from, stated, metadata }: LayoutTable): string {
  const rows = Object.entries(stated).map(([name, [value, source]]) => {
    const text = Array.isArray(value) ? `[${value.join(", ")}]` : String(value);
    return `    ${name}: [${text}, ${JSON.stringify(source)}],`;
  });
  const constants = Object.entries(metadata).map(([name, value]) => `    ${name}: ${value},`);
  return [
    `/** V8 ${version}; written by \`node scripts/autopsy-layout.ts <node binary>\`. */`,
    `import type { LayoutTable } from "../layout-table.ts";`,
    "",
    `export const ${constantName(version)}: LayoutTable = {`,
    `  version: "${version}",`,
    "  from: {",
    `    node: "${from.node}",`,
    `    v8: "${from.v8}",`,
    `    buildId: "${from.buildId}",`,
    "  },",
    "  stated: {",
    ...rows,
    "  },",
    "  metadata: {",
    ...constants,
    "  },",
    "};",
    "",
  ].join("\n");
}

function constantName(version: string): string {
  return `V8_${version.replaceAll(".", "_")}`;
}

function differences(ours: LayoutTable, theirs: LayoutTable): readonly string[] {
  const lines: string[] = [];
  for (const [name, [value]] of Object.entries(theirs.stated)) {
    const known = Object.entries(ours.stated).find(([one]) => one === name)?.[1][0];
    if (String(known) !== String(value))
      lines.push(`${name}: table ${String(known)}, found ${String(value)}`);
  }
  const names = new Set([...Object.keys(ours.metadata), ...Object.keys(theirs.metadata)]);
  for (const name of names) {
    const [known, value] = [ours.metadata[name], theirs.metadata[name]];
    if (known !== value) lines.push(`${name}: table ${known ?? "-"}, binary ${value ?? "-"}`);
  }
  return lines;
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { check: { type: "boolean" } },
  });
  const [node] = positionals;
  if (node === undefined || !existsSync(node)) {
    throw new Error("usage: node scripts/autopsy-layout.ts <node binary> [--check]");
  }
  const { pid, output, child } = await startSubjects(node);
  const target = openTarget(pid, { tracer: new PtraceTracer() });
  try {
    const version = readMetadata(target.executable).version.split(".").slice(0, 2).join(".");
    const known = LAYOUTS.find((table) => table.version === version);
    const [form] = LAYOUTS;
    if (form === undefined) throw new Error("there is no table to go by");
    const made = search(target, output, form);
    verify(target, made, { subjects: subjectsIn(output), file: SUBJECTS });
    const changed = known === undefined ? ["there is no table"] : differences(known, made);
    for (const line of changed) console.log(line);
    if (values.check === true) {
      console.log(changed.length === 0 ? `V8 ${version}: the table holds` : "differs");
      process.exitCode = changed.length === 0 ? 0 : 1;
      return;
    }
    const file = path.join(FOLDER, `v8-${version.replace(".", "-")}.ts`);
    writeFileSync(file, sourceText(made));
    addToAll(version);
    console.log(`written: ${path.relative(process.cwd(), file)}; now: npm run format`);
  } finally {
    target.close();
    child.kill("SIGKILL");
  }
}

/** The list of tables gets the new one. */
function addToAll(version: string): void {
  const file = path.join(FOLDER, "all.ts");
  const text = readFileSync(file, "utf8");
  const name = constantName(version);
  if (text.includes(name)) return;
  const line = `import { ${name} } from "./v8-${version.replace(".", "-")}.ts";\n`;
  const withImport = text.replace("\n/** All", `${line}\n/** All`);
  writeFileSync(file, withImport.replace(/\[([^\]]*?),?\s*\];/u, `[$1, ${name}];`));
}

await main();
