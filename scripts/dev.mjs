/**
 * The project's commands. Plain JavaScript without dependencies, because in a fresh clone it is
 * what installs them: it runs under any Node >= 20, everything that it starts under the pinned one.
 *
 *   npm start | test | run ok|build|units|system|servers|faults|bench
 *     -> node scripts/dev.mjs <command>
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const NODE = path.join(ROOT, "node_modules/node/bin/node");
const STAMP = path.join(ROOT, "dist/.tsbuildinfo");
const MAIN = path.join(ROOT, "dist/cli/main.js");

/** They take seconds. */
const UNITS_TIMEOUT_MS = 5 * 60_000;
/** They take minutes; a run of everything must end within an hour. */
const SYSTEM_TIMEOUT_MS = 60 * 60_000;

process.chdir(ROOT);

/** Runs a program to its end with our terminal; ends us with its exit code if that is not 0. */
function must(program, args, what) {
  const code = run(program, args);
  if (code === 0) return;
  process.stderr.write(`\n${what} failed (exit ${code}).\n`);
  process.exit(code);
}

/** A test that loops for ever hears no polite signal: after the time it is killed. */
function run(program, args, timeoutMs = 0) {
  const options = { stdio: "inherit", timeout: timeoutMs, killSignal: "SIGKILL" };
  const result = spawnSync(program, args, options);
  if (result.error?.code === "ETIMEDOUT") {
    process.stderr.write(`\nStopped after ${timeoutMs / 60_000} minutes: ${args.join(" ")}\n`);
    return 1;
  }
  if (result.error) throw result.error;
  return result.status ?? 128 + (os.constants.signals[result.signal ?? "SIGTERM"] ?? 0);
}

/** Installs what `package-lock.json` lists and `node_modules` lacks. */
function install() {
  if (isInstalled()) return;
  const command = existsSync("node_modules/.package-lock.json") ? "install" : "ci";
  process.stderr.write(`Installing what package-lock.json lists (npm ${command}) ...\n`);
  const args = [command, "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const npm = process.env.npm_execpath;
  if (npm?.endsWith(".js")) must(process.execPath, [npm, ...args], "npm");
  else if (process.platform === "win32") must("cmd", ["/c", "npm", ...args], "npm");
  else must("npm", args, "npm");
  if (!isInstalled()) {
    process.stderr.write(
      "npm has ended well, but the pinned Node is not in node_modules/node. Its install script " +
        "must be allowed to run: see allowScripts in package.json, and ignore-scripts of npm.\n",
    );
    process.exit(1);
  }
}

function isInstalled() {
  if (!existsSync(NODE) || !existsSync("node_modules/.package-lock.json")) return false;
  const wanted = JSON.parse(readFileSync("package-lock.json", "utf8")).packages;
  const have = JSON.parse(readFileSync("node_modules/.package-lock.json", "utf8")).packages;
  return Object.entries(wanted).every(
    ([name, { version, optional }]) => name === "" || optional || have[name]?.version === version,
  );
}

/** Compiles `src` to `dist` if a source is newer, and removes what has no source any more. */
function build({ always }) {
  const sources = readdirSync("src", { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
  const inputs = [...sources, "tsconfig.json", "tsconfig.build.json", "package-lock.json"];
  const newestMs = Math.max(...inputs.map((file) => statSync(file).mtimeMs));
  const isStale = !existsSync(MAIN) || !existsSync(STAMP) || statSync(STAMP).mtimeMs < newestMs;
  if (!isStale && !always) return;
  process.stderr.write("Compiling src to dist ...\n");
  if (!existsSync(MAIN)) rmSync(STAMP, { force: true }); // else tsc believes that it is all there
  const code = run(NODE, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"]);
  for (const file of sources.filter((each) => each.endsWith(".hft"))) {
    const target = path.join("dist", path.relative("src", file)); // programs of `holdfast trace`
    mkdirSync(path.dirname(target), { recursive: true });
    copyFileSync(file, target);
  }
  removeOrphans(new Set(sources.map((file) => stem(path.relative("src", file)))));
  if (existsSync(MAIN)) chmodSync(MAIN, 0o755);
  if (code === 0) return;
  rmSync(STAMP, { force: true });
  process.stderr.write("\nThe build has type errors; dist holds what could be compiled.\n");
  process.exit(code);
}

function removeOrphans(stems) {
  if (!existsSync("dist")) return;
  for (const entry of readdirSync("dist", { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile() && file !== path.relative(ROOT, STAMP)) {
      if (!stems.has(stem(path.relative("dist", file)))) rmSync(file);
    }
  }
}

/** `base/units.d.ts`, `base/units.js` and `base/units.ts` are all made of `base/units`. */
function stem(file) {
  return file.replace(/(\.d)?\.[cm]?[jt]s$/, "");
}

const gates = {
  format: () => must(NODE, ["node_modules/oxfmt/bin/oxfmt", "--check"], "The format check"),
  lint: () =>
    must(NODE, ["node_modules/oxlint/bin/oxlint", "--type-aware", "--deny-warnings"], "The linter"),
  types: () => must(NODE, ["node_modules/typescript/bin/tsc"], "The type check"),
  build: () => build({ always: false }),
};

/** Tests under the pinned Node, with `node_modules/.bin` first in PATH as under npm. */
function tests(args, patterns, filter, timeoutMs) {
  return run(NODE, ["--test", ...args, ...chosen(patterns, filter)], timeoutMs);
}

function chosen(patterns, filter) {
  const files = patterns.flatMap(([folder, recursive]) => testFiles(folder, recursive));
  const found = files.filter((file) => filter.every((part) => file.includes(part)));
  if (found.length === 0) throw new Error(`no test file matches ${filter.join(" ")}`);
  return found;
}

function testFiles(folder, recursive) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !file.includes("node_modules"))
    .toSorted();
}

/** Units stand beside the code and share one process. */
function units(filter) {
  const folders = [
    ["src", true],
    ["test", false],
    ["bench", true],
  ];
  const args = ["--test-isolation=none", "--test-timeout=60000"];
  return tests(args, folders, filter, UNITS_TIMEOUT_MS);
}

/** These load the machine, or look at what one worker does under load: nothing goes on beside. */
const ALONE = /[/\\](faults|verdict-load|compat-scripts|live-|flow-gate|operating-)/;

/** Each file of these is a process of its own, most of which waits: two at a time. */
function system(filter) {
  build({ always: false });
  // else a thread of each Node reads it at the start, while tests compare what is open in it
  delete process.env.NODE_EXTRA_CA_CERTS;
  const files = chosen([["test/system", true]], filter);
  const alone = files.filter((file) => ALONE.test(file));
  const others = files.filter((file) => !ALONE.test(file));
  const codes = [
    [2, others],
    [1, alone],
  ].map(([concurrency, some]) =>
    some.length === 0
      ? 0
      : run(NODE, ["--test", `--test-concurrency=${concurrency}`, ...some], SYSTEM_TIMEOUT_MS),
  );
  return Math.max(...codes);
}

const commands = {
  start(args) {
    build({ always: false });
    const rest = args.length > 0 ? args : ["--workers", "max"];
    return run(NODE, [MAIN, "run", "examples/hello/server.js", ...rest]);
  },
  build() {
    build({ always: true });
    return 0;
  },
  units,
  system,
  ok() {
    for (const gate of Object.values(gates)) gate();
    return units([]);
  },
  /** Clients of servers that the machine must have (Debian: redis-server, postgresql). */
  servers: (filter) => tests(["--test-concurrency=1"], [["test/servers", true]], filter, 300_000),
  test() {
    for (const gate of Object.values(gates)) gate();
    const unitsCode = units([]);
    const systemCode = system([]);
    return unitsCode === 0 ? systemCode : unitsCode;
  },
  faults: (args) => benchmark("faults", args),
  bench(args) {
    const [name, ...rest] = args;
    if (name === "pipe-soak") return script("bench/flow/pipe-soak.ts", rest);
    if (name === "overload" || name === "flow") return benchmark(name, rest);
    return benchmark("cost", args);
  },
  /** What a situation looks like without Holdfast, and with it. */
  example([name, ...rest]) {
    build({ always: false });
    const names = readdirSync("examples/flow")
      .filter((file) => file.endsWith(".mjs"))
      .map((file) => file.slice(0, -4));
    if (names.includes(name)) return run(NODE, [`examples/flow/${name}.mjs`, ...rest]);
    process.stderr.write(`Which example? There is ${names.join(", ")}.\n`);
    return 64;
  },
};

function benchmark(name, args) {
  return script(`bench/${name}/main.ts`, args);
}

function script(file, args) {
  build({ always: false });
  return run(NODE, [file, ...args]);
}

const [name = "", ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
if (command === undefined) {
  process.stderr.write(`Unknown command ${name}; there is ${Object.keys(commands).join(", ")}.\n`);
  process.exit(64);
}
install();
process.env.PATH = [path.join(ROOT, "node_modules/.bin"), process.env.PATH].join(path.delimiter);
process.exitCode = command(args);
