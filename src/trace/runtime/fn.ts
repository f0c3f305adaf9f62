/**
 * `fn:...:entry` and `fn:...:return`: functions of the application, replaced where they are
 * found.
 */
import type { Site } from "../site.ts";
import { findFunctions } from "./functions.ts";
import type { FunctionPlace } from "./functions.ts";
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
  if (typeof places === "string") {
    for (const site of sites) site.off = places;
    return [];
  }
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

function around(
  sites: readonly Site[],
  { instance }: FunctionPlace,
  isAsync: boolean,
  { requests }: Tools,
): Layer {
  const entries = sites.filter((site) => site.clause.written.endsWith(":entry"));
  const returns = sites.filter((site) => site.clause.written.endsWith(":return"));
  const isTimed = timed(returns);
  const observed: Layer = (next) => (self, args) => {
    if (entries.length > 0) {
      fireAll(entries, requests, args);
      raise(entries);
    }
    if (returns.length === 0) return next(self, args);
    const start = isTimed ? now() : 0;
    const request = requests === null ? null : requests.current();
    const returned = (retval: unknown, thrown: unknown): void => {
      const duration = isTimed ? now() - start : undefined;
      if (request === null) fireAll(returns, requests, args, duration, thrown, retval);
      else for (const site of returns) fireFor(site, request, args, duration, thrown, retval);
    };
    let result: unknown;
    try {
      result = next(self, args);
    } catch (error) {
      returned(undefined, error);
      throw error;
    }
    if (isAsync) return onSettled(result, returned);
    returned(result, undefined);
    return result;
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
  request: Site["firing"]["request"],
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
  for (const { firing } of entries) {
    const { raised } = firing;
    if (raised === null) continue;
    firing.raised = null;
    throw new RaisedError(raised);
  }
}
