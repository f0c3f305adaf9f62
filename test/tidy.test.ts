/** The repository keeps its own rules. `tidy-rules.test.ts` shows that each of them can fail. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { VERSION } from "../src/base/mod.ts";
import { readFacts } from "./support/tidy/facts.ts";
import { ROOT, listFiles, readText } from "./support/tidy/repository.ts";
import * as rules from "./support/tidy/rules.ts";

/** Every program that Holdfast starts from a file of its own, and what it loads late. */
const SPAWN_EDGES: readonly string[] = [
  "src/supervision/admin-process.ts -> src/admin/main.ts",
  "src/agent/asks.ts -> src/worker/attached.ts",
  "src/agent/patch-twin.ts -> src/agent/patch-twin-main.ts",
  "src/base/config-file.ts -> src/base/config-evaluate.ts",
  "src/dumper/main.ts -> src/dumper/dump-thread.ts",
  "src/keeper/reactor-process.ts -> src/reactor/main.ts",
  "src/keeper/worker-process.ts -> src/worker/preload.cts",
  "src/portable/cluster-worker.ts -> src/portable/flow-guard.ts",
  "src/portable/cluster-worker.ts -> src/portable/preload.cts",
  "src/reactor/cores.ts -> src/dumper/main.ts",
  "src/reactor/debug-signal.ts -> src/cli/debug-signal.ts",
  "src/reactor/lookout.ts -> src/lookout/main.ts",
  "src/cli/attach-inject.ts -> src/agent/main.ts",
  "src/cli/portable-agents.ts -> src/agent/main.ts",
  "src/worker/agent-thread.ts -> src/agent/main.ts",
  "src/worker/flow-host.ts -> src/flow/mod.ts",
];

const FILES = listFiles();
/** Applications under test are what users write, broken ones among them. */
const CODE = FILES.filter((file) => /\.[cm]?[jt]s$/.test(file) && !file.startsWith("test/apps/"));
const TEXTS = CODE.map((path) => ({ path, text: readText(path) }));
const FACTS = readFacts(new Map(TEXTS.map(({ path, text }) => [path, text])));

const PACKAGE = JSON.parse(readText("package.json")) as {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}; // Ours, and tested below.

function holds(violations: readonly string[]): void {
  assert.deepEqual(violations, []);
}

test("the gates look at something", () => {
  assert.ok(FACTS.length > 60, `${FACTS.length} files under ${ROOT}`);
  const folders = new Set(FACTS.map(({ path }) => path.split("/").slice(0, 2).join("/")));
  for (const folder of ["base", "os", "ledger", "reactor", "worker", "keeper", "cli"]) {
    assert.ok(folders.has(`src/${folder}`), folder);
  }
  const imports = FACTS.flatMap((file) => file.imports);
  assert.ok(imports.filter(({ specifier }) => specifier.startsWith("../")).length > 50);
  assert.ok(imports.some(({ kind }) => kind === "lazy"));
  assert.ok(imports.some(({ kind }) => kind === "reexport"));
});

test("imports point down, and enter a folder through its door", () => {
  holds(rules.checkLayers(FACTS));
});

test("packages are declared; the reactor has no protocol and no code but its own", () => {
  holds(rules.checkPackages(FACTS, Object.keys(PACKAGE.dependencies)));
});

test("processes are started where it is written down", () => {
  holds(rules.checkSpawnEdges(FACTS, SPAWN_EDGES));
});

test("named exports only, doors that pass on no doors, no any", () => {
  holds(rules.checkExports(FACTS));
});

test("no file of more than 600 lines, no line of more than 100 columns", () => {
  holds(rules.checkSizes(TEXTS));
});

test("nothing is left to be done in a comment", () => {
  holds(rules.checkWords(TEXTS.filter(({ path }) => !path.includes("/tidy"))));
});

test("timers of ours in the application's process are not seen as its own", () => {
  holds(rules.checkTimers(TEXTS));
});

test("every error code has a row in docs/errors.md, and every row a code", () => {
  holds(rules.checkErrorCodes(FACTS, readText("docs/errors.md")));
});

test("every dependency has a row in docs/dependencies.md, and every row a dependency", () => {
  const names = Object.keys({ ...PACKAGE.dependencies, ...PACKAGE.devDependencies });
  assert.ok(names.length > 10);
  holds(rules.checkDependencies(names, readText("docs/dependencies.md")));
});

test("no file names a machine or its registry", () => {
  const files = FILES.filter((file) => !/\.(png|key|crt|ico)$/.test(file));
  assert.ok(files.includes("package-lock.json") && files.includes(".npmrc"));
  holds(rules.checkPlaces(files.map((path) => ({ path, text: readText(path) }))));
});

test("one version everywhere", () => {
  assert.equal(VERSION, PACKAGE.version);
  const lock = JSON.parse(readText("package-lock.json")) as { readonly version: string }; // npm's.
  assert.equal(lock.version, PACKAGE.version);
  assert.ok(readText("CHANGELOG.md").includes(`## ${PACKAGE.version}`));
});
