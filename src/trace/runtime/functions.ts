/**
 * `fn:<module>.<path>`: which functions that means in this process.
 *
 * ```
 *   fn:JSON.stringify            a global
 *   fn:fs.readFile               a module of Node's
 *   fn:db.query                  exports.query of .../db.js, or of the package db, as loaded
 *   fn:lib/db.Pool.query         a method: of the object, or of the class's prototype
 *   fn:db.*                      every function there
 * ```
 * The longest name that is a module wins, since a file's name may have dots. What is looked at is
 * looked at without running anything: no getters, no Proxy.
 */
import { createRequire, isBuiltin } from "node:module";
import { didYouMean } from "../../base/mod.ts";
import { FUNCTIONS_MAX, PROTOTYPES_MAX } from "../limits.ts";
import { member } from "../values.ts";
import { globPattern } from "../vocabulary.ts";
import { isClass } from "./patches.ts";

export interface FunctionPlace {
  readonly object: object;
  readonly key: string;
  /** Only calls on this object count: the function is that of its class. */
  readonly instance: object | null;
}

/** The places, or why there is none. */
export function findFunctions(path: string): readonly FunctionPlace[] | string {
  const segments = path.split(".");
  let nearest = "";
  for (let count = segments.length - 1; count >= 1; count -= 1) {
    const roots = findRoots(segments.slice(0, count).join("."));
    if (roots.length === 0) continue;
    const rest = segments.slice(count);
    const places = unique(roots.flatMap((root) => walk(root, rest)));
    if (places.length > FUNCTIONS_MAX) return `these are more than ${FUNCTIONS_MAX} functions`;
    if (places.length > 0) return places;
    nearest ||= roots.map((root) => hint(root, rest)).find((each) => each !== "") ?? "";
  }
  const what = `there is no function ${path} in this worker, or its module is not loaded`;
  return nearest === "" ? what : `${what}.${nearest}`;
}

/** Functions of a value, by the names of members. */
export function findFrom(root: unknown, path: readonly string[]): readonly FunctionPlace[] {
  return isObject(root) ? unique(walk(root, path)) : [];
}

function unique(places: readonly FunctionPlace[]): readonly FunctionPlace[] {
  return places.filter(
    (place, index) =>
      places.findIndex((each) => each.object === place.object && each.key === place.key) === index,
  );
}

/** Globals, modules of Node's and modules of the application that bear a name. */
function findRoots(name: string): readonly object[] {
  const found: unknown[] = [...loadedModules(name)];
  if (isBuiltin(name)) found.push(process.getBuiltinModule(name));
  const global = member(globalThis, name);
  if (global !== undefined) found.push(global);
  return found.filter(isObject);
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** CommonJS modules, by the end of their path without its extension, or by their package. */
function loadedModules(name: string): readonly unknown[] {
  const require = createRequire(import.meta.url);
  const wanted = name.replaceAll("\\", "/").replace(/^\.\//, "");
  const found: unknown[] = [];
  for (const file of Object.keys(require.cache)) {
    const path = file.replaceAll("\\", "/");
    const bare = path.replace(/\.[cm]?[jt]s$/, "");
    const names = [path, bare, bare.replace(/\/index$/, "")];
    const isNamed = names.some((each) => each === wanted || each.endsWith(`/${wanted}`));
    if (isNamed || isMainOf(path, wanted)) found.push(member(require.cache[file], "exports"));
  }
  return found;
}

/** Whether a file is what `require(name)` gives, as far as its place tells. */
function isMainOf(path: string, name: string): boolean {
  const folder = `/node_modules/${name}/`;
  const at = path.lastIndexOf(folder);
  if (at < 0 || path.slice(at + folder.length).includes("node_modules/")) return false;
  return mainOf(path.slice(0, at + folder.length), name) === path;
}

function mainOf(folder: string, name: string): string | null {
  try {
    return createRequire(folder).resolve(name).replaceAll("\\", "/");
  } catch {
    return null; // a package without a main module
  }
}

function walk(root: object, path: readonly string[]): readonly FunctionPlace[] {
  const [name = "", ...rest] = path;
  if (rest.length > 0) {
    const next =
      member(root, name) ?? member(member(root, "prototype"), name) ?? viaDefault(root, name);
    return isObject(next) ? walk(next, rest) : [];
  }
  if (!name.includes("*")) {
    const place = findOwner(root, name) ?? fromPrototype(root, name) ?? fromDefault(root, name);
    return place === null ? [] : [place];
  }
  const pattern = globPattern(name);
  return [root, member(root, "prototype")].filter(isObject).flatMap((object) =>
    Object.getOwnPropertyNames(object)
      .filter((key) => key !== "constructor" && pattern.test(key) && isPlainFunction(object, key))
      .map((key) => ({ object, key, instance: null })),
  );
}

function isPlainFunction(object: object, key: string): boolean {
  const value: unknown = Object.getOwnPropertyDescriptor(object, key)?.value;
  return typeof value === "function" && !isClass(value);
}

/** `module.exports.default` of what was an ES module once. */
function viaDefault(root: object, name: string): unknown {
  return member(member(root, "default"), name);
}

function fromPrototype(root: object, name: string): FunctionPlace | null {
  const prototype = member(root, "prototype");
  if (typeof root !== "function" || !isObject(prototype)) return null;
  const place = findOwner(prototype, name);
  return place === null ? null : { ...place, instance: null };
}

function fromDefault(root: object, name: string): FunctionPlace | null {
  const inner = member(root, "default");
  return isObject(inner) ? (findOwner(inner, name) ?? fromPrototype(inner, name)) : null;
}

/** The object on the prototype chain whose own function it is. */
function findOwner(object: object, key: string): FunctionPlace | null {
  if (typeof member(object, key) !== "function") return null;
  let holder: object | null = object;
  for (let step = 0; holder !== null && step < PROTOTYPES_MAX; step += 1) {
    if (Object.hasOwn(holder, key)) {
      return { object: holder, key, instance: holder === object ? null : object };
    }
    holder = Object.getPrototypeOf(holder) as object | null; // member() has looked at the chain
  }
  return null;
}

function hint(root: object, path: readonly string[]): string {
  const [name = ""] = path;
  const names = Object.getOwnPropertyNames(root).filter((key) => /^[A-Za-z_$]/.test(key));
  return didYouMean(name, names);
}
