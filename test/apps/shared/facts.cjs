"use strict";
/**
 * What an application can see of its process, as plain data, to compare one start with another.
 * Pids and the like are left out; keys are sorted.
 */
const { createHash } = require("node:crypto");
const fs = require("node:fs");
const Module = require("node:module");

/** Facts about the process; `main` is the module object of the application, if it has one. */
exports.processFacts = function processFacts(main) {
  const cluster = require("node:cluster");
  return {
    argv: process.argv,
    argv0: process.argv0,
    execArgv: process.execArgv,
    execPath: process.execPath,
    title: process.title,
    cwd: process.cwd(),
    env: { ...process.env },
    processKeys: Reflect.ownKeys(process).map(String).sort(),
    listeners: listenersOf(process),
    globals: Reflect.ownKeys(globalThis).map(String).sort(),
    cluster: { isPrimary: cluster.isPrimary, isWorker: cluster.isWorker },
    clusterKeys: Object.keys(cluster).sort(),
    send: typeof process.send,
    connected: process.connected,
    stdio: ["stdin", "stdout", "stderr"].map((name) => process[name].constructor.name),
    isTty: [process.stdin.isTTY, process.stdout.isTTY, process.stderr.isTTY],
    umask: process.umask(),
    signals: signalMasks(),
    stackTraceLimit: Error.stackTraceLimit,
    prepareStackTrace: typeof Error.prepareStackTrace,
    stack: new Error("here").stack.split("\n").map((line) => line.trim()),
    resources: process.getActiveResourcesInfo(),
    extraDescriptors: descriptors(),
    modules: moduleFacts(main),
  };
};

/** Digest of the source of every function of the built-in modules and the global object. */
exports.builtinFunctions = function builtinFunctions() {
  const found = {};
  const seen = new Set();
  const visit = (name, value, depth) => {
    if (value === null || (typeof value !== "object" && typeof value !== "function")) return;
    if (seen.has(value) || depth > 4) return;
    seen.add(value);
    if (typeof value === "function") found[name] = digest(Function.prototype.toString.call(value));
    for (const key of Reflect.ownKeys(value)) {
      if (key === "_cache" || key === "_pathCache") continue; // Of the module loader.
      const descriptor = Reflect.getOwnPropertyDescriptor(value, key);
      const path = `${name}.${String(key)}`;
      if ("value" in descriptor) visit(path, descriptor.value, depth + 1);
      else found[path] = digest(`${descriptor.get} ${descriptor.set}`);
    }
  };
  const skipped = /^(_|sys$|punycode$|wasi$|trace_events$|inspector|repl$|test|sqlite|process$)/;
  for (const name of Module.builtinModules) {
    if (!skipped.test(name)) visit(name, require(name), 0);
  }
  for (const name of ["Object", "Function", "Array", "Promise", "Map", "Buffer", "URL", "Error"]) {
    visit(name, globalThis[name], 0);
  }
  visit("process.emit", process.emit, 0);
  visit("process.on", process.on, 0);
  visit("process.exit", process.exit, 0);
  visit("process.kill", process.kill, 0);
  return found;
};

function digest(source) {
  return createHash("sha1").update(source).digest("base64").slice(0, 8);
}

function listenersOf(emitter) {
  const names = emitter.eventNames();
  return Object.fromEntries(names.map((name) => [String(name), emitter.listenerCount(name)]));
}

/** SigBlk, SigIgn and SigCgt of proc_pid_status(5). */
function signalMasks() {
  const status = fs.readFileSync("/proc/self/status", "utf8");
  return Object.fromEntries(
    [...status.matchAll(/^(Sig(?:Blk|Ign|Cgt)):\s+(\w+)$/gm)].map((m) => m.slice(1)),
  );
}

/** What open descriptors above standard error are, without those that every node has. */
function descriptors() {
  return fs
    .readdirSync("/proc/self/fd")
    .filter((fd) => Number(fd) > 2)
    .map((fd) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${fd}`).replace(/:\[\d+\]$/, "");
      } catch {
        return "closed"; // The descriptor of the directory itself.
      }
    })
    .filter((what) => !/^(anon_inode|closed|pipe$|\/dev\/(null|pts)|\/proc)/.test(what))
    .sort();
}

function moduleFacts(main) {
  if (main === undefined) return {};
  return {
    isMain: require.main === main,
    mainId: main.id,
    parent: typeof main.parent,
    paths: main.paths,
    children: main.children.map((child) => child.filename),
    cache: Object.keys(require.cache),
    extensions: Object.keys(Module._extensions),
    globalPaths: Module.globalPaths,
  };
}
