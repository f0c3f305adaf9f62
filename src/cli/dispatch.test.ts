import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AUTOPSY_VERBS } from "../autopsy/mod.ts";
import { VERSION } from "../base/mod.ts";
import { dispatch } from "./dispatch.ts";
import { makeWorld } from "../../test/support/world.ts";
import { VERBS } from "./verbs.ts";

const EMPTY = { HOLDFAST_RUNTIME_DIR: "/nonexistent/holdfast" };

test("nothing: an overview, and a code that says that nothing was done", async () => {
  const world = makeWorld(EMPTY);
  assert.equal(await dispatch([], world), 64);
  for (const { name } of VERBS) assert.match(world.errors(), new RegExp(`^  ${name} `, "m"));
});

test("version and help", async () => {
  const world = makeWorld(EMPTY);
  assert.equal(await dispatch(["--version"], world), 0);
  assert.equal(world.output(), `${VERSION}\n`);
  assert.equal(await dispatch(["help", "reload"], world), 0);
  assert.match(world.output(), /--update-env/);
});

test("every verb explains itself with its flags and an example that it accepts", async () => {
  const seen: string[] = [];
  for (const verb of VERBS) {
    const world = makeWorld(EMPTY);
    assert.equal(await dispatch([verb.name, "--help"], world), 0);
    assert.match(world.output(), new RegExp(`^usage: holdfast ${verb.name}`, "m"));
    for (const flag of verb.flags) assert.ok(world.output().includes(`--${flag.name}`), flag.name);
    assert.ok(verb.examples.length > 0);
    seen.push(...verb.examples);
    for (const line of world.output().split("\n")) assert.ok(line.length <= 100, line);
  }
  assert.ok(seen.length >= VERBS.length);
});

test("the command line of autopsy takes every flag that one of its verbs takes", () => {
  const known = VERBS.find(({ name }) => name === "autopsy")?.flags.map(({ name }) => name);
  const flags = new Set(AUTOPSY_VERBS.flatMap((verb) => verb.flags.map(({ name }) => name)));
  assert.ok(flags.size > 10);
  assert.deepEqual(
    [...flags].filter((name) => known?.includes(name) !== true),
    [],
  );
});

test("autopsy help: what there is, one verb, and no other than these", async () => {
  const all = makeWorld(EMPTY);
  assert.equal(await dispatch(["autopsy", "help"], all), 0);
  for (const { name } of AUTOPSY_VERBS) {
    assert.match(all.output(), new RegExp(`^  ${name} `, "m"));
  }
  assert.match(all.output(), /^ {2}\| count: how many rows/m);
  const unknown = makeWorld(EMPTY);
  assert.equal(await dispatch(["autopsy", "help", "finds"], unknown), 64);
  assert.match(unknown.errors(), /Did you mean find\?/);
});

test("--help behind -- belongs to the application", async () => {
  const world = makeWorld(EMPTY);
  assert.equal(await dispatch(["run", "/nonexistent/a.js", "--", "--help"], world), 64);
  assert.match(world.errors(), /there is no such file/);
});

test("an unknown verb names the nearest, a file the verb that runs it", async () => {
  const world = makeWorld(EMPTY);
  assert.equal(await dispatch(["statsu"], world), 64);
  assert.match(world.errors(), /Did you mean status\? \[ERR_HOLDFAST_USAGE\]/);
  assert.equal(await dispatch(["server.js"], world), 64);
  assert.match(world.errors(), /To run a file: holdfast run server\.js/);
});

test("where nothing runs, verbs say so and how to start", async () => {
  for (const name of ["status", "reload", "restart", "stop", "logs"]) {
    const world = makeWorld(EMPTY);
    assert.equal(await dispatch([name], world), 69, name);
    assert.match(world.errors(), /no service is running .*holdfast run server\.js/);
    assert.equal(world.output(), "");
  }
});

test("with --json errors are JSON", async () => {
  const world = makeWorld(EMPTY);
  assert.equal(await dispatch(["status", "--json"], world), 69);
  const entry = JSON.parse(world.errors()) as Record<string, unknown>; // What is tested.
  assert.equal(entry["code"], "ERR_HOLDFAST_NOT_RUNNING");
  assert.equal(entry["level"], "error");
});

test("docs/cli.md has every verb and every flag", () => {
  const text = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
  for (const verb of VERBS) {
    assert.ok(text.includes(`## holdfast ${verb.name}`), verb.name);
    for (const flag of verb.flags) assert.ok(text.includes(`--${flag.name}`), flag.name);
  }
});

test("docs/configuration.md has every key, flag and variable", async () => {
  const { CONFIG_OPTIONS, variableOf } = await import("../base/mod.ts");
  const text = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
  const wanted = CONFIG_OPTIONS.flatMap((option) => {
    return [option.key, option.flag && `--${option.flag}`, variableOf(option)];
  }).filter((name) => name !== null);
  assert.ok(wanted.length > 30);
  for (const name of wanted) assert.ok(text.includes(`\`${name}`), name);
});
