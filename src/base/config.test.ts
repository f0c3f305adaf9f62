import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { writeFileSync } from "node:fs";
import { makeFolder } from "../../test/support/folder.ts";
import { loadConfig } from "./config.ts";
import type { ConfigFlags } from "./config.ts";
import type { ResolvedConfig } from "./config-types.ts";
import { HoldfastError } from "./errors.ts";

type Files = Readonly<Record<string, string>>;

interface Given {
  readonly files?: Files;
  readonly flags?: ConfigFlags["values"];
  readonly environment?: Readonly<Record<string, string>>;
  readonly entry?: string | null;
}

/** Loads in a fresh folder that has `server.js`. */
function load(t: TestContext, given: Given): Promise<ResolvedConfig> {
  const cwd = makeFolder(t, { "server.js": "", ...given.files });
  const { entry = "server.js", flags: values = {}, environment = {} } = given;
  const where = { HOLDFAST_RUNTIME_DIR: "/tmp/r", ...environment };
  return loadConfig({ entry, args: null, cwd, values }, where);
}

/** The message with which the configuration is refused. */
async function refusal(t: TestContext, given: Given, code: string): Promise<string> {
  try {
    await load(t, given);
  } catch (error) {
    assert.ok(error instanceof HoldfastError, String(error));
    assert.equal(error.code, code);
    return error.message;
  }
  return assert.fail("it was accepted");
}

test("without anything, defaults", async (t) => {
  const config = await load(t, {});
  assert.equal(path.basename(config.entry), "server.js");
  assert.equal(config.name, "server");
  assert.ok(config.workers >= 1);
  assert.equal(config.readyTimeoutMs, 30_000);
  assert.equal(config.drainTimeoutMs, 30_000);
  assert.equal(config.stallLimitMs, 5000);
  assert.equal(config.journalLimitBytes, 65_536);
  assert.equal(config.replay, "idempotent");
  assert.equal(config.accept, "reactor");
  assert.deepEqual(config.restartIntensity, { restarts: 10, periodMs: 60_000 });
  assert.deepEqual(config.watch, []);
  assert.equal(config.runtimeDir, "/tmp/r");
});

test("flags win over environment, environment over file", async (t) => {
  const files = {
    "holdfast.config.json": JSON.stringify({ workers: 2, replay: "off", name: "file" }),
  };
  const environment = { HOLDFAST_WORKERS: "3", HOLDFAST_REPLAY: "safe" };
  const config = await load(t, { files, environment, flags: { workers: "4" } });
  assert.equal(config.workers, 4);
  assert.equal(config.replay, "safe");
  assert.equal(config.name, "file");
});

test("every option has the same meaning as flag, variable and key", async (t) => {
  const asKeys = {
    workers: 3,
    name: "shop",
    accept: "kernel",
    replay: "safe",
    readyTimeout: "1m",
    drainTimeout: "2s",
    stallLimit: 0,
    memoryLimit: "1GiB",
    journalLimit: "1MiB",
    watch: true,
    admin: "[::1]:9090",
    otlp: "http://collector:4318",
    portable: true,
    json: true,
    nodeArgs: ["--enable-source-maps"],
  };
  const flags = {
    workers: "3",
    name: "shop",
    accept: "kernel",
    replay: "safe",
    "ready-timeout": "1m",
    "drain-timeout": "2s",
    "stall-limit": "0",
    "memory-limit": "1GiB",
    "journal-limit": "1MiB",
    watch: true,
    admin: "[::1]:9090",
    otlp: "http://collector:4318",
    portable: true,
    json: true,
    "node-arg": ["--enable-source-maps"],
  } as const;
  const environment = Object.fromEntries(
    Object.entries(flags).map(([flag, value]) => [
      `HOLDFAST_${flag.replaceAll("-", "_").toUpperCase()}`,
      String(value),
    ]),
  );
  const cwd = makeFolder(t, { "server.js": "" });
  const base = { entry: "server.js", args: null, cwd };
  const where = { HOLDFAST_RUNTIME_DIR: "/tmp/r" };
  const byFlags = await loadConfig({ ...base, values: flags }, where);
  const byVariables = await loadConfig({ ...base, values: {} }, { ...where, ...environment });
  writeFileSync(path.join(cwd, "holdfast.config.json"), JSON.stringify(asKeys));
  const byFile = await loadConfig({ ...base, values: {} }, where);
  assert.deepEqual(byVariables, byFlags);
  assert.deepEqual(byFile, byFlags);
  assert.equal(byFlags.workers, 3);
  assert.equal(byFlags.memoryLimitBytes, 2 ** 30);
  assert.deepEqual(byFlags.watch, [cwd]);
  assert.deepEqual(byFlags.nodeArgs, ["--enable-source-maps"]);
});

test("a wrong key is refused with file, key and the nearest", async (t) => {
  const files = { "holdfast.config.json": `{"wrokers": 2, "restartIntensity": {"restart": 1}}` };
  const message = await refusal(t, { files }, "ERR_HOLDFAST_CONFIG");
  assert.match(message, /holdfast\.config\.json: /);
  assert.match(message, /wrokers is not known\. Did you mean workers\? Allowed: entry, /);
  assert.match(message, /restartIntensity\.restart is not known\. Did you mean restarts\?/);
});

test("wrong types and values are refused, each with what is allowed", async (t) => {
  const wrong: readonly [Record<string, unknown>, RegExp][] = [
    [{ workers: 0 }, /workers is 0, must be a whole number from 1 to 256, or "max"/],
    [{ workers: 257 }, /workers is 257/],
    [{ workers: "two" }, /workers is "two"/],
    [{ name: "../x" }, /name is "\.\.\/x", must be 1 to 64 letters/],
    [{ accept: "both" }, /accept is "both", must be "reactor" or "kernel"/],
    [{ drainTimeout: 5 }, /drainTimeout is 5, must be a duration such as "500ms"/],
    [{ drainTimeout: "5" }, /drainTimeout is "5"/],
    [{ drainTimeout: "8d" }, /at most 7d/],
    [{ readyTimeout: 0 }, /readyTimeout is 0, .* 1ms or more/],
    [{ journalLimit: "17MiB" }, /journalLimit is "17MiB", must be .* at most 16MiB/],
    [{ memoryLimit: "1MB" }, /memoryLimit is "1MB", must be .* 0 or at least 64MiB/],
    [{ env: { A: 1 } }, /env\.A is 1, must be a text, in quotes/],
    [{ portable: "yes" }, /portable is "yes", must be true or false/],
    [{ nodeArgs: ["x"] }, /nodeArgs\.0 is "x", must be an option of Node/],
    [{ restartIntensity: 3 }, /restartIntensity is 3, must be an object such as/],
  ];
  for (const [config, expected] of wrong) {
    const files = { "holdfast.config.json": JSON.stringify(config) };
    assert.match(await refusal(t, { files }, "ERR_HOLDFAST_CONFIG"), expected);
  }
  const files = { "holdfast.config.json": "[]" };
  assert.match(await refusal(t, { files }, "ERR_HOLDFAST_CONFIG"), /must be an object, is \[\]/);
});

test("wrong flags and variables are named as they were written", async (t) => {
  const flags = { "stall-limit": "5", "node-arg": ["x"] };
  const message = await refusal(t, { flags }, "ERR_HOLDFAST_CONFIG");
  assert.match(message, /--stall-limit is "5"/);
  assert.match(message, /--node-arg is "x"/);
  const environment = { HOLDFAST_WORKERS: "many" };
  const other = await refusal(t, { environment }, "ERR_HOLDFAST_CONFIG");
  assert.match(other, /HOLDFAST_WORKERS is "many"/);
});

test("a mistyped variable is refused, a stranger's is not", async (t) => {
  const environment = { HOLDFAST_WORKRES: "2" };
  const message = await refusal(t, { environment }, "ERR_HOLDFAST_CONFIG");
  assert.match(message, /HOLDFAST_WORKRES.*Did you mean HOLDFAST_WORKERS\?/);
  // Kubernetes sets these where a service is called holdfast.
  await load(t, { environment: { HOLDFAST_SERVICE_HOST: "10.0.0.1", HOLDFAST_PORT: "tcp://x" } });
});

test("a TypeScript file is evaluated on each call, with what it imports", async (t) => {
  const cwd = makeFolder(t, {
    "server.js": "",
    "count.ts": "export const count: number = 2;",
    "holdfast.config.ts": `
      import { count } from "./count.ts";
      console.log("for people only");
      setInterval(() => {}, 1000);
      export default { workers: count as number };`,
  });
  const flags = { entry: "server.js", args: null, cwd, values: {} };
  const where = { HOLDFAST_RUNTIME_DIR: "/tmp/r" };
  assert.equal((await loadConfig(flags, where)).workers, 2);
  writeFileSync(path.join(cwd, "count.ts"), "export const count: number = 5;");
  assert.equal((await loadConfig(flags, where)).workers, 5);
});

test("a file that cannot be evaluated is refused with its own words", async (t) => {
  const wrong: readonly [string, string, RegExp][] = [
    ["holdfast.config.js", "throw new Error('no luck')", /no luck/],
    ["holdfast.config.js", "export const workers = 2;", /no default export/],
    ["holdfast.config.js", "process.exit(3);", /it ended the process \(exit 3\)/],
    ["holdfast.config.js", "export default { workers() {} };", /workers is a function/],
    ["holdfast.config.json", `{"workers": 2,}`, /it is not JSON: .*position 14/],
  ];
  for (const [name, content, expected] of wrong) {
    const files = { "package.json": `{"type":"module"}`, [name]: content };
    const message = await refusal(t, { files }, "ERR_HOLDFAST_CONFIG_FILE");
    assert.match(message, expected);
    assert.ok(message.includes(name));
  }
});

test("which file: the only one in the working directory, else beside the entry", async (t) => {
  const beside = { "app/main.js": "", "app/holdfast.config.json": `{"workers": 7}` };
  assert.equal((await load(t, { files: beside, entry: "app/main.js" })).workers, 7);
  const both = { ...beside, "holdfast.config.json": `{"workers": 6}` };
  assert.equal((await load(t, { files: both, entry: "app/main.js" })).workers, 6);
  const flags = { config: "app/holdfast.config.json" };
  assert.equal((await load(t, { files: both, flags })).workers, 7);
  const two = { "holdfast.config.json": "{}", "holdfast.config.js": "" };
  const message = await refusal(t, { files: two }, "ERR_HOLDFAST_CONFIG_FILE");
  assert.match(message, /has holdfast\.config\.js and holdfast\.config\.json/);
  const missing = { config: "none.json" };
  const other = await refusal(t, { flags: missing }, "ERR_HOLDFAST_CONFIG_FILE");
  assert.match(other, /none\.json: there is no such file/);
});

test("the entry is found as node finds it, or the nearest file is named", async (t) => {
  const files = {
    "lib/index.js": "",
    "holdfast.config.json": `{"entry": "lib", "args": ["a"]}`,
  };
  assert.match((await load(t, { files, entry: "server" })).entry, /server\.js$/);
  const configured = await load(t, { files, entry: null });
  assert.match(configured.entry, /lib\/index\.js$/);
  assert.deepEqual(configured.args, ["a"]);
  const message = await refusal(t, { entry: "sevrer.js" }, "ERR_HOLDFAST_ENTRY");
  assert.match(message, /sevrer\.js: there is no such file\. Did you mean server\.js\?/);
  assert.match(await refusal(t, { entry: null }, "ERR_HOLDFAST_ENTRY"), /no entry file was given/);
});

test("the name comes from package.json without its scope", async (t) => {
  const named = { "package.json": `{"name": "@acme/web shop"}`, "src/a.js": "" };
  assert.equal((await load(t, { files: named, entry: "src/a.js" })).name, "web-shop");
  const broken = { "package.json": "{" };
  assert.equal((await load(t, { files: broken })).name, "server");
});

test("env files in order, then env; the environment has the last word", async (t) => {
  const files = {
    ".env": "A=1\nB=1\nC=1\nD=1",
    "two.env": "B=2\nC=2\nD=2",
    "holdfast.config.json": `{"env": {"C": "3", "D": "3"}}`,
  };
  const flags = { "env-file": [".env", "two.env"] };
  const config = await load(t, { files, flags, environment: { D: "4" } });
  assert.deepEqual(config.env, { A: "1", B: "2", C: "3" });
  const message = await refusal(t, { flags: { "env-file": ["no.env"] } }, "ERR_HOLDFAST_ENV_FILE");
  assert.match(message, /no\.env: ENOENT/);
});

test("a socket path that the system would cut is refused", async (t) => {
  const environment = { HOLDFAST_RUNTIME_DIR: `/tmp/${"x".repeat(120)}` };
  const message = await refusal(t, { environment }, "ERR_HOLDFAST_CONFIG");
  assert.match(message, /path has \d+ bytes/);
});

test("the admin listener is a port here, or an address with a port", async (t) => {
  const at = async (admin: unknown): Promise<unknown> => {
    const files = { "holdfast.config.json": JSON.stringify({ admin }) };
    return (await load(t, { files })).admin;
  };
  assert.deepEqual(await at(9090), { host: "127.0.0.1", port: 9090 });
  assert.deepEqual(await at("0"), { host: "127.0.0.1", port: 0 });
  assert.deepEqual(await at("0.0.0.0:80"), { host: "0.0.0.0", port: 80 });
  assert.deepEqual(await at("[::1]:80"), { host: "::1", port: 80 });
  assert.deepEqual(await at("metrics.internal:80"), { host: "metrics.internal", port: 80 });
  assert.equal((await load(t, {})).admin, null);
  for (const wrong of [70_000, "http", ":80", "host:", "::1:80", "a b:80", -1, true]) {
    const files = { "holdfast.config.json": JSON.stringify({ admin: wrong }) };
    await assert.rejects(load(t, { files }), /"?admin"? is .*, must be a port, or/, String(wrong));
  }
});

test("a collector has an http: or https: URL", async (t) => {
  const at = async (otlp: unknown): Promise<unknown> => {
    return (await load(t, { files: { "holdfast.config.json": JSON.stringify({ otlp }) } })).otlp;
  };
  assert.equal(await at("https://collector/otlp"), "https://collector/otlp");
  assert.equal((await load(t, {})).otlp, null);
  for (const wrong of ["collector:4318", "ftp://x", "", 4318]) {
    await assert.rejects(
      at(wrong),
      /"?otlp"? is .*, must be an http: or https: URL/,
      String(wrong),
    );
  }
});
