/**
 * Providers that replace functions of Node: files, names, timers, emitters, streams. Everything
 * goes through `Patches`, so that it is as it was afterwards.
 */
import dns from "node:dns";
import { EventEmitter } from "node:events";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { Duplex, Readable, Writable } from "node:stream";
import timers from "node:timers";
import type { Site } from "../site.ts";
import { className, lengthOf, member, text } from "../values.ts";
import { isAsyncFunction, onSettled } from "./patches.ts";
import type { Layer } from "./patches.ts";
import { now } from "./platform.ts";
import { detachAll, fireAll, sitesAt, timed } from "./provider.ts";
import { watchStuck } from "./stuck.ts";
import type { Attach, Detach, Tools } from "./provider.ts";

// as in values.ts: an `import` would load undici
const http = process.getBuiltinModule("node:http");

/** Puts a layer around a function where it is the object's own; what cannot be replaced is left. */
function around(tools: Tools, object: object, key: string, layer: Layer): readonly Detach[] {
  if (!Object.hasOwn(object, key)) return [];
  const detach = tools.patches.add(object, key, layer);
  return typeof detach === "string" ? [] : [detach];
}

/** ES modules that import a name of Node's see replacements only after this. */
function withModules(steps: readonly Detach[]): Detach {
  syncBuiltinESMExports();
  const detach = detachAll(steps);
  return () => {
    detach();
    syncBuiltinESMExports();
  };
}

/** The names of functions that a module of Node's has, but for classes and what is private. */
function functionNames(module: object): readonly string[] {
  return Object.keys(module).filter((name) => {
    return /^[a-z]/.test(name) && typeof member(module, name) === "function";
  });
}

/** Neither waits for a result: they make objects. */
const NO_OPERATIONS = [
  "createReadStream",
  "createWriteStream",
  "watch",
  "watchFile",
  "unwatchFile",
];

/** A call whose end is told to its last argument, to its promise, or is its return. */
function operation(
  calls: readonly Site[],
  dones: readonly Site[],
  name: string,
  kind: "callback" | "promise" | "sync",
  { requests }: Tools,
): Layer {
  const isTimed = timed(dones);
  return (next) => (self, args) => {
    const facts = [name, args[0]];
    fireAll(calls, requests, facts);
    if (dones.length === 0) return next(self, args);
    const start = isTimed ? now() : 0;
    const done = (thrown: unknown): void => {
      fireAll(dones, requests, facts, isTimed ? now() - start : undefined, thrown ?? undefined);
    };
    if (kind === "promise") {
      return onSettled(next(self, args), (_value, thrown) => done(thrown));
    }
    const last = args.at(-1);
    if (kind === "callback" && typeof last === "function") {
      const callback = (...results: unknown[]): unknown => {
        done(results[0]);
        return Reflect.apply(last, undefined, results) as unknown;
      };
      return next(self, [...args.slice(0, -1), callback]);
    }
    return throughReturn(() => next(self, args), done);
  };
}

function throughReturn(run: () => unknown, done: (thrown: unknown) => void): unknown {
  let result: unknown;
  try {
    result = run();
  } catch (error) {
    done(error);
    throw error;
  }
  done(undefined);
  return result;
}

export const attachFs: Attach = (sites, tools) => {
  const [calls, dones] = [sitesAt(sites, "fs:call"), sitesAt(sites, "fs:done")];
  const plain = functionNames(fs).filter((name) => !NO_OPERATIONS.includes(name));
  const steps = plain.flatMap((name) => {
    const kind = name.endsWith("Sync") ? "sync" : "callback";
    return around(tools, fs, name, operation(calls, dones, name, kind, tools));
  });
  const promised = functionNames(fs.promises).flatMap((name) => {
    const kind = isAsyncFunction(member(fs.promises, name)) ? "promise" : "sync";
    const layer = operation(calls, dones, `promises.${name}`, kind, tools);
    return around(tools, fs.promises, name, layer);
  });
  return withModules([...steps, ...promised]);
};

export const attachDns: Attach = (sites, tools) => {
  const [calls, dones] = [sitesAt(sites, "dns:lookup"), sitesAt(sites, "dns:done")];
  const asks = (name: string): boolean => /^(lookup|resolve|reverse)/.test(name);
  const steps = functionNames(dns)
    .filter(asks)
    .flatMap((name) => around(tools, dns, name, operation(calls, dones, name, "callback", tools)));
  // these are plain functions that make a fresh promise each time (lib/internal/dns/promises.js)
  const promised = functionNames(dns.promises)
    .filter(asks)
    .flatMap((name) => {
      const layer = operation(calls, dones, `promises.${name}`, "promise", tools);
      return around(tools, dns.promises, name, layer);
    });
  return withModules([...steps, ...promised]);
};

export const attachTimers: Attach = (sites, tools) => {
  const [sets, dones] = [sitesAt(sites, "timers:set"), sitesAt(sites, "timers:done")];
  const layer = (kind: string): Layer => {
    return (next) => (self, args) => {
      const [callback, ms] = args;
      const facts = [kind, callback, kind === "setImmediate" ? 0 : ms];
      fireAll(sets, tools.requests, facts);
      if (dones.length === 0 || typeof callback !== "function") return next(self, args);
      const run = function (this: unknown, ...values: unknown[]): unknown {
        const start = now();
        return throughReturn(
          () => Reflect.apply(callback, this, values) as unknown,
          (thrown) => fireAll(dones, tools.requests, facts, now() - start, thrown),
        );
      };
      return next(self, [run, ...args.slice(1)]);
    };
  };
  const steps = ["setTimeout", "setInterval", "setImmediate"].flatMap((kind) =>
    [globalThis, timers].flatMap((holder) => around(tools, holder, kind, layer(kind))),
  );
  return withModules(steps);
};

export const attachEmitters: Attach = (sites, tools) => {
  const [emits, dones] = [sitesAt(sites, "emitter:emit"), sitesAt(sites, "emitter:done")];
  const isTimed = timed(dones);
  const layer: Layer = (next) => (self, args) => {
    const [event, value] = args;
    const facts = [self, className(self), typeof event === "string" ? event : text(event), value];
    fireAll(emits, tools.requests, facts);
    if (dones.length === 0) return next(self, args);
    const start = isTimed ? now() : 0;
    return throughReturn(
      () => next(self, args),
      (thrown) => fireAll(dones, tools.requests, facts, isTimed ? now() - start : 0, thrown),
    );
  };
  return detachAll(around(tools, EventEmitter.prototype, "emit", layer));
};

export const attachStreams: Attach = (sites, tools) => {
  const [writes, pipes] = [sitesAt(sites, "stream:write"), sitesAt(sites, "stream:pipe")];
  const write: Layer = (next) => (self, args) => {
    const result = next(self, args);
    const bytes = lengthOf(args[0]) ?? 0;
    const state = member(self, "_writableState");
    const facts = [self, className(self), bytes, member(state, "length"), result === false];
    fireAll(writes, tools.requests, facts);
    return result;
  };
  const pipe: Layer = (next) => (self, args) => {
    fireAll(pipes, tools.requests, [self, className(self), args[0]]);
    return next(self, args);
  };
  const stuck = sitesAt(sites, "stream:stuck");
  const writers = [Writable.prototype, Duplex.prototype, http.OutgoingMessage.prototype];
  return detachAll([
    ...(writes.length > 0 ? writers.flatMap((each) => around(tools, each, "write", write)) : []),
    ...(pipes.length > 0 ? around(tools, Readable.prototype, "pipe", pipe) : []),
    ...(stuck.length > 0 ? [watchStuck(stuck)] : []),
  ]);
};
