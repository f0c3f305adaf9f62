/** Each rule of `tidy.test.ts` on input that breaks it, and on input that does not. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { makeFolder } from "./support/folder.ts";
import { readFacts } from "./support/tidy/facts.ts";
import type { FileFacts } from "./support/tidy/facts.ts";
import { ROOT, readText } from "./support/tidy/repository.ts";
import * as rules from "./support/tidy/rules.ts";

function facts(files: Readonly<Record<string, string>>): readonly FileFacts[] {
  return readFacts(new Map(Object.entries(files)));
}

/** Exactly one violation for each pattern, in this order. */
function breaks(violations: readonly string[], ...patterns: readonly RegExp[]): void {
  assert.equal(violations.length, patterns.length, violations.join("\n") || "nothing was found");
  for (const [index, pattern] of patterns.entries()) assert.match(violations[index] ?? "", pattern);
}

test("facts: every way to import is seen, and none in comments and texts", () => {
  const [file] = facts({
    "src/a/a.ts": `
      import x from "./1.ts";
      import type { Y } from "./2.ts";
      import "./3.ts";
      export { z } from "./4.ts";
      export * from "./5.ts";
      export type * from "./6.ts";
      const lazy = await import("./7.ts");
      const old = require("./8.ts");
      let type: import("./9.ts").T;
      import equals = require("./10.ts");
      // import "no";
      /* export * from "no"; */
      const text = 'import "no"' + \`import "no" \${"import 'no'"}\`;
      const pattern = /import "no"/;`,
  });
  const specifiers = file?.imports.map(({ specifier }) => specifier) ?? [];
  const numbers = specifiers.map((specifier) => Number(/\d+/.exec(specifier)?.[0]));
  assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.equal(file?.imports[0]?.line, 2);
});

test("layers: up, sideways and out of src are wrong", () => {
  breaks(
    rules.checkLayers(
      facts({
        "src/base/up.ts": `import "../os/mod.ts";`,
        "src/os/up.ts": `export * from "../ledger/mod.ts";`,
        "src/keeper/side.ts": `import type { A } from "../worker/mod.ts";`,
        "src/worker/cli.ts": `const a = () => import("../cli/mod.ts");`,
        "src/flow/side.ts": `import "../trace/mod.ts";`,
        "src/cli/out.ts": `import "../../test/support/a.ts";`,
        "src/cli/package.ts": `import "../mod.ts";`,
        "src/stranger/a.ts": `import "../base/mod.ts";`,
        "src/autopsy/os.ts": `import "../os/mod.ts";`,
        "src/reactor/flow.ts": `import "../flow/mod.ts";`,
        "src/mod.ts": `export { a } from "./os/mod.ts";`,
      }),
    ),
    /base\/up\.ts:1 base imports os, which is not below it/,
    /os imports ledger/,
    /keeper imports worker/,
    /worker imports cli/,
    /flow imports trace/,
    /leaves src/,
    /the package's own door/,
    /stranger or base is no layer/,
    /autopsy imports os, but only base, ledger/,
    /reactor imports flow, but only base, os, ledger, supervision/,
    /opens os/,
  );
});

test("layers: a folder is entered through its door, by product code", () => {
  const [violations] = [
    rules.checkLayers(
      facts({
        "src/ledger/a.ts": `import "../os/libc.ts"; import "../os/mod.ts"; import "./b.ts";`,
        "src/ledger/a.test.ts": `import "../os/libc.ts";`,
        "src/cli/a.ts": `import "../keeper/mod.ts"; import "node:fs"; import "valibot";`,
        "src/mod.ts": `export { a } from "./base/mod.ts";`,
      }),
    ),
  ];
  breaks(violations, /enters os by src\/os\/libc\.ts, not by its mod\.ts/);
});

test("packages: undeclared ones, and protocols in the reactor", () => {
  const files = facts({
    "src/base/a.ts": `import "valibot"; import "@scope/name/deep"; import "lodash/get";`,
    "src/reactor/a.ts": ["net", "http", "tls", "vm"]
      .map((name) => `import "node:${name}";`)
      .join(" "),
    "src/cli/a.ts": `import "node:http";`,
    "src/cli/a.test.ts": `import "fast-check";`,
  });
  breaks(
    rules.checkPackages(files, ["valibot"]),
    /imports @scope\/name, which is no dependency/,
    /imports lodash, /,
    /must not import node:http$/,
    /must not import node:tls$/,
    /must not import node:vm$/,
  );
});

test("spawn edges: unlisted, vanished, and leading nowhere", () => {
  const files = facts({
    "src/keeper/a.ts": `
      entryUrl(import.meta.url, "../reactor/main.ts");
      entryUrl(import.meta.url, "../worker/none.ts");
      entryUrl(import.meta.url, name);`,
    "src/reactor/main.ts": "",
  });
  const listed = [
    "src/keeper/a.ts -> src/reactor/main.ts",
    "src/keeper/a.ts -> src/worker/none.ts",
    "src/keeper/a.ts -> src/edge/main.ts",
  ];
  breaks(
    rules.checkSpawnEdges(files, listed),
    /-> \(not a literal\) is not listed/,
    /edge\/main\.ts is listed, not found/,
    /no file src\/worker\/none\.ts/,
    /no file \(not a literal\)/,
  );
});

test("exports: defaults, barrels outside of doors, doors of doors, any", () => {
  breaks(
    rules.checkExports(
      facts({
        "src/a/a.ts": `export default 1;`,
        "src/a/b.ts": `export default function b(): void {}`,
        "src/a/c.cts": `export = 1;`,
        "src/a/d.ts": `export { a } from "./a.ts";`,
        "src/a/mod.ts": `export { a } from "./a.ts"; export { b } from "../b/mod.ts";`,
        "src/a/any.ts": `const any = "any"; let a: any; // any`,
        "src/mod.ts": `export { a } from "./a/mod.ts";`,
      }),
    ),
    /a\.ts:1 exports a default/,
    /b\.ts:1 exports a default/,
    /c\.cts:1 exports a default/,
    /d\.ts:1 passes on \.\/a\.ts, but is no mod\.ts/,
    /a\/mod\.ts:1 passes on another door/,
    /any\.ts:1 says any/,
  );
});

test("sizes: 600 lines and 100 columns are the most", () => {
  const lines = (count: number): string => "x\n".repeat(count);
  const files = [
    { path: "good.ts", text: lines(600) },
    { path: "long.ts", text: lines(601) },
    { path: "wide.ts", text: `${"ü".repeat(100)}\n${"x".repeat(101)}\n` },
  ];
  breaks(rules.checkSizes(files), /long\.ts has 601 lines/, /wide\.ts:2 has 101 columns/);
});

test("words: what is left to be done", () => {
  const texts = ["// TODO: later", "test.only('a')", "// @ts-ignore", "// a todo list is fine"];
  const files = texts.map((text, index) => ({ path: `${index}.ts`, text }));
  breaks(rules.checkWords(files), /0\.ts:1 says TODO/, /1\.ts/, /2\.ts/);
});

test("error codes: without a row, and rows without a code", () => {
  const files = facts({
    "src/a/a.ts": `throw new E("ERR_HOLDFAST_A"); throw new E("ERR_HOLDFAST_B");`,
    "src/a/a.test.ts": `"ERR_HOLDFAST_TEST_ONLY"`,
  });
  const table = "| `ERR_HOLDFAST_A` | a |\n| `ERR_HOLDFAST_C` | c |\n";
  breaks(rules.checkErrorCodes(files, table), /_B has no row/, /_C is used nowhere/);
});

test("dependencies: without a row, and rows without one", () => {
  const table = "| `a` | what for |\n| `c` | what for |\n";
  breaks(rules.checkDependencies(["a", "b"], table), /b has no row/, /c is no dependency/);
});

test("places: machines and registries are found, documentation is not", () => {
  const [slash, host] = ["/", "npm.example.com"]; // Put together here, so that this file has none.
  const texts = [
    `see ${slash}root${slash}x`,
    `cwd: "${slash}home${slash}me${slash}project"`,
    `registry=https:${slash}${slash}${host}${slash}`,
    `      "resolved": "https:${slash}${slash}cache.local${slash}a.tgz",`,
    `      "resolved": "https:${slash}${slash}registry.npmjs.org${slash}a.tgz",`,
    "the work of root/home, and https://github.com/nodejs/node",
  ];
  const files = texts.map((text, index) => ({ path: String(index), text }));
  breaks(rules.checkPlaces(files), /^0:1/, /^1:1/, /^2:1/, /^3:1/);
});

test("timers: ours by the functions of the application's process", () => {
  const text = "setImmediate(run);\nsocket.setTimeout(1);\nsoon(run);\nreturn setTimeout(run, 1);";
  const paths = ["src/flow/a.ts", "src/worker/a.ts", "src/flow/a.test.ts", "src/reactor/a.ts"];
  const violations = rules.checkTimers(paths.map((path) => ({ path, text })));
  assert.deepEqual(
    violations.map((each) => each.split(" ")[0]),
    ["src/flow/a.ts:1", "src/flow/a.ts:4", "src/worker/a.ts:1", "src/worker/a.ts:4"],
  );
});

test("the linter refuses what STYLE forbids", (t) => {
  const long = `export function long(): void {\n${"  String(1);\n".repeat(80)}}\n`;
  const bad: Readonly<Record<string, string>> = {
    "any.ts": "export function a(b: any): void {\n  String(b);\n}\n",
    "floating.ts": "export function a(): void {\n  Promise.resolve(1);\n}\n",
    "default.ts": "export default 1;\n",
    "empty.ts": "try {\n  String(1);\n} catch {}\n",
    "long.ts": long,
    "assertion.ts": "export const a = (b: string | null): number => b!.length;\n",
  };
  const settings = { ".oxlintrc.json": readText(".oxlintrc.json"), "tsconfig.json": "{}" };
  const cwd = makeFolder(t, { ...bad, ...settings });
  const oxlint = path.join(ROOT, "node_modules/oxlint/bin/oxlint");
  const env = {
    ...process.env,
    PATH: `${path.join(ROOT, "node_modules/.bin")}:${process.env["PATH"]}`,
  };
  const args = [oxlint, "--type-aware", "-f", "unix"];
  const { stdout, status } = spawnSync(process.execPath, args, { cwd, env, encoding: "utf8" });
  assert.notEqual(status, 0);
  const expected: Readonly<Record<string, string>> = {
    "any.ts": "no-explicit-any",
    "floating.ts": "no-floating-promises",
    "default.ts": "no-default-export",
    "empty.ts": "no-empty",
    "long.ts": "max-lines-per-function",
    "assertion.ts": "no-non-null-assertion",
  };
  for (const [file, rule] of Object.entries(expected)) {
    const found = stdout.split("\n").some((line) => line.includes(file) && line.includes(rule));
    assert.ok(found, `${file} should break ${rule}:\n${stdout}`);
  }
});
