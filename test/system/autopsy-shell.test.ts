/** The shell of autopsy beyond its verbs: results into files, help. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { it } from "node:test";
import { inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";
import { CLI, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";
import type { RunOptions, RunResult } from "./support/run.ts";

it("a result is saved as text or as data, and never over another file", async (t) => {
  const patient = startPatient(t, 24, [program("values.cjs")]);
  await inPosition(patient, { line: "ready" });
  const core = makeCore(patient);
  const text = path.join(patient.folder, "found.txt");
  const data = path.join(patient.folder, "found.json");
  const lines = [
    `find Account | save ${text}`,
    `$1 | json | save ${data}`,
    `args | save ${text}`,
    `args | save ${patient.folder}/no/such/folder`,
  ];
  const { code, stdout, stderr } = await autopsy([core], { stdin: `${lines.join("\n")}\n` });
  assert.equal(code, 1, "two lines failed");
  assert.match(stdout.toString(), /^\S+found\.txt: \d+B\n\S+found\.json: \d+B\n$/);
  assert.match(readFileSync(text, "utf8"), /^ADDRESS +CLASS +VALUE\n0x[0-9a-f]+ +Account/);
  const { rows } = JSON.parse(readFileSync(data, "utf8")) as { rows: { class: string }[] };
  assert.deepEqual(
    rows.map((row) => row.class),
    ["Account"],
  );
  assert.equal(statSync(text).mode & 0o777, 0o600);
  assert.match(stderr.toString(), /found\.txt: it exists already\./);
  assert.match(stderr.toString(), /no\/such\/folder: open gives ENOENT\./);
  assert.ok(!existsSync(path.join(patient.folder, "no")));
});

it("help needs no core", async () => {
  const all = await autopsy(["help"]);
  assert.equal(all.code, 0, all.stderr.toString());
  for (const name of ["stacks", "objects", "why", "asyncs", "report", "| where", "| save"]) {
    assert.ok(all.stdout.toString().includes(`  ${name}`), name);
  }
  const one = await autopsy(["help", "find"]);
  assert.match(one.stdout.toString(), /^find \[class\].*\n.*\n {2}--property <name> /);
  const behind = await autopsy(["no-such-core", "help", "find"]);
  assert.equal(behind.stdout.toString(), one.stdout.toString());
});

function autopsy(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(nodeBinary(), ["--", CLI, "autopsy", ...args], options);
}
