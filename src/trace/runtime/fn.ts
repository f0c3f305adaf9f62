/**
 * `fn:...:entry` and `fn:...:return`: functions of the application, replaced where they are
 * found.
 */
import { isBuiltin } from "node:module";
import type { RequestRecord } from "../firing.ts";
import type { Site } from "../site.ts";
import { findFrom, findFunctions } from "./functions.ts";
import type { FunctionPlace } from "./functions.ts";
import type { Binding, Bound } from "./lines.ts";
import { isAsyncFunction, onSettled } from "./patches.ts";
import type { Layer } from "./patches.ts";
import { now } from "./platform.ts";
import { detachAll, fireAll, timed } from "./provider.ts";
import type { Attach, Detach, Tools } from "./provider.ts";

/** What `raise("...")` throws. */
export class RaisedError extends Error {
  override readonly name = "RaisedError";
}

export const attachFunctions: Attach = (sites, tools) => {
  const groups = new Map<string, Site[]>();
  for (const site of sites) {
    const path = site.clause.rest.replace(/:(entry|return)$/, "");
    groups.set(path, [...(groups.get(path) ?? []), site]);
  }
  const steps = [...groups].flatMap(([path, group]) => attachPath(path, group, tools));
  return detachAll(steps);
};

function attachPath(path: string, sites: readonly Site[], tools: Tools): readonly Detach[] {
  const places = findFunctions(path);
  if (typeof places === "string") return boundFunctions(path, sites, tools, places);
  const steps: Detach[] = [];
  let why = "";
  for (const place of places) {
    const fn: unknown = Object.getOwnPropertyDescriptor(place.object, place.key)?.value;
    const layer = around(sites, place, isAsyncFunction(fn), tools);
    const detach = tools.patches.add(place.object, place.key, layer);
    if (typeof detach === "string") why ||= `${place.key}: ${detach}`;
    else steps.push(detach);
  }
  if (steps.length === 0) for (const site of sites) site.off = why;
  return steps;
}

/** A function that no object holds is replaced by the agent, where its module binds it. */
function boundFunctions(
  path: string,
  sites: readonly Site[],
  tools: Tools,
  why: string,
): readonly Detach[] {
  const dot = path.lastIndexOf(".");
  const [file, name] = [path.slice(0, dot), path.slice(dot + 1)];
  if (isBuiltin(file) || file in globalThis || !/^[\w$]+$/.test(name)) {
    for (const site of sites) site.off = why;
    return [];
  }
  const entries = sites.filter((site) => site.clause.written.endsWith(":entry"));
  const returns = sites.filter((site) => site.clause.written.endsWith(":return"));
  const bind = (root: unknown, inside: readonly string[]): Bound | string => {
    if (inside.length > 0) return boundMethods(root, inside, sites, tools);
    const place = { instance: null };
    const layer = around(sites, place, isAsyncFunction(root), tools);
    return tools.patches.bind(root, name, layer);
  };
  const binding: Binding = { returns, why, bind, bound: null };
  return [tools.lines.add(entries, { file, at: name, variables: [] }, tools.requests, binding)];
}

/** Methods of what a module binds: their object can be had there, and holds them. */
function boundMethods(
  root: unknown,
  path: readonly string[],
  sites: readonly Site[],
  tools: Tools,
): Bound | string {
  const places = findFrom(root, path);
  const steps = places.flatMap((place) => {
    const fn: unknown = Object.getOwnPropertyDescriptor(place.object, place.key)?.value;
    const layer = around(sites, place, isAsyncFunction(fn), tools);
    const detach = tools.patches.add(place.object, place.key, layer);
    return typeof detach === "string" ? [] : [detach];
  });
  if (steps.length === 0) return `there is no method ${path.join(".")} that can be replaced`;
  return { replacement: null, detach: detachAll(steps) };
}

function around(
  sites: readonly Site[],
  { instance }: Pick<FunctionPlace, "instance">,
  isAsync: boolean,
  { requests }: Tools,
): Layer {
  const entries = sites.filter((site) => site.clause.written.endsWith(":entry"));
  const returns = sites.filter((site) => site.clause.written.endsWith(":return"));
  const isTimed = timed(returns);
  const hasEntries = entries.length > 0;
  const finished = (
    start: number,
    request: RequestRecord | null,
    args: readonly unknown[],
    retval: unknown,
    thrown: unknown,
  ): void => {
    const duration = isTimed ? now() - start : undefined;
    if (request === null) fireAll(returns, requests, args, duration, thrown, retval);
    else for (const site of returns) fireFor(site, request, args, duration, thrown, retval);
  };
  const observed: Layer = (next) => (self, args) => {
    if (hasEntries) {
      fireAll(entries, requests, args);
      raise(entries);
    }
    if (returns.length === 0) return next(self, args);
    const start = isTimed ? now() : 0;
    const request = requests === null ? null : requests.current();
    let result: unknown;
    try {
      result = next(self, args);
    } catch (error) {
      finished(start, request, args, undefined, error);
      throw error;
    }
    if (!isAsync) {
      finished(start, request, args, result, undefined);
      return result;
    }
    return onSettled(result, (value, thrown) => finished(start, request, args, value, thrown));
  };
  if (instance === null) return observed;
  return (next) => {
    const seen = observed(next);
    return (self, args) => (self === instance ? seen(self, args) : next(self, args));
  };
}

/** The request is that of the call, also where the promise settles elsewhere. */
function fireFor(
  site: Site,
  request: RequestRecord,
  args: readonly unknown[],
  duration: number | undefined,
  thrown: unknown,
  retval: unknown,
): void {
  const { firing } = site;
  firing.request = request;
  firing.args = args;
  firing.duration = duration;
  firing.thrown = thrown;
  firing.retval = retval;
  site.fire();
}

function raise(entries: readonly Site[]): void {
  for (let index = 0; index < entries.length; index += 1) {
    const firing = entries[index]?.firing;
    const raised = firing?.raised ?? null;
    if (firing === undefined || raised === null) continue;
    firing.raised = null;
    throw new RaisedError(raised);
  }
}
