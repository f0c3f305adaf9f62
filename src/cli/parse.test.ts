import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HoldfastError } from "../base/mod.ts";
import { parseCommandLine } from "./parse.ts";
import { configFlags } from "./run.ts";
import type { Parsed, Verb } from "./verb.ts";
import { VERBS } from "./verbs.ts";

function verb(name: string): Verb {
  return VERBS.find((each) => each.name === name) ?? assert.fail(name);
}

function run(...args: string[]): Parsed {
  return parseCommandLine(verb("run"), args);
}

test("run: flags before and after the entry, arguments behind --", () => {
  const parsed = run("--workers", "2", "a.js", "--json", "--", "--port", "80");
  assert.deepEqual(parsed.positionals, ["a.js", "--port", "80"]);
  assert.deepEqual(parsed.flags, { workers: "2", json: true });
  const flags = configFlags(parsed, "/x");
  assert.equal(flags.entry, "a.js");
  assert.deepEqual(flags.args, ["--port", "80"]);
});

test("run: plain arguments need no --, and none at all leaves them to the file", () => {
  assert.deepEqual(configFlags(run("a.js", "b", "c"), "/x").args, ["b", "c"]);
  assert.equal(configFlags(run("a.js"), "/x").args, null);
  assert.deepEqual(configFlags(run("a.js", "--"), "/x").args, []);
  assert.equal(configFlags(run("--json"), "/x").entry, null);
});

test("run: repeated flags, switches with and without a value", () => {
  const { flags } = run("a.js", "--env-file=a", "--env-file", "b", "--watch=x", "--watch=y");
  assert.deepEqual(flags["env-file"], ["a", "b"]);
  assert.deepEqual(flags["watch"], ["x", "y"]);
  assert.equal(run("a.js", "--watch").flags["watch"], true);
  assert.equal(run("a.js", "--json=false").flags["json"], "false");
  const { flags: forNode } = run("--node-arg", "--enable-source-maps", "a.js");
  assert.deepEqual(forNode["node-arg"], ["--enable-source-maps"]);
});

test("a flag of the application before -- is refused with the line that is right", () => {
  assert.throws(() => run("a.js", "--port", "80"), {
    code: "ERR_HOLDFAST_USAGE",
    message: /--port is no flag of holdfast; for a\.js itself, write holdfast run a\.js -- --port/,
  });
  assert.throws(() => run("a.js", "-p", "80"), { message: /holdfast run a\.js -- -p/ });
});

test("a mistyped flag is refused with the nearest", () => {
  assert.throws(() => run("a.js", "--wrokers", "2"), { message: /Did you mean --workers\? See/ });
  assert.throws(() => parseCommandLine(verb("stop"), ["--nwo"]), {
    message: /Did you mean --now\?/,
  });
});

test("a flag without its value is refused, also when the next flag stands there", () => {
  for (const args of [["--name"], ["--name", "--json"], ["--name="], ["--env-file"]]) {
    assert.throws(() => run(...args), { message: /needs a value: --/ }, args.join(" "));
  }
  assert.throws(() => run("--json=maybe"), { message: /--json is a switch/ });
});

test("too many arguments are refused", () => {
  assert.throws(() => parseCommandLine(verb("status"), ["x"]), { message: /"x" is too much/ });
  assert.throws(() => parseCommandLine(verb("restart"), ["1", "2"]), {
    message: /"2" is too much/,
  });
});

test("short flags", () => {
  const { flags } = parseCommandLine(verb("logs"), ["-f", "-n", "5"]);
  assert.deepEqual(flags, { follow: true, lines: "5" });
});

test("any command line is taken apart or refused", () => {
  const word = fc.oneof(fc.string(), fc.constantFrom("--", "--name", "--json", "-f", "a", "--x=1"));
  fc.assert(
    fc.property(fc.constantFrom(...VERBS), fc.array(word, { maxLength: 6 }), (each, args) => {
      try {
        const { positionals } = parseCommandLine(each, args);
        assert.ok(positionals.length <= each.positionalsMax);
      } catch (error) {
        assert.ok(error instanceof HoldfastError, String(error));
        assert.equal(error.code, "ERR_HOLDFAST_USAGE");
      }
    }),
  );
});
